"""The kernels of the visitors: one per open page, started ahead of time, freed when the page is closed."""

from __future__ import annotations

import os
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets import default

#: A kernel draws and looks up; what computes is the worker. One thread each, so that visitors do not crowd it out.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class OwnKernelSpec(KernelSpecManager):
    """Knows the kernel of this very Python only: one of the same name in the user's folders may belong to another."""

    @default("kernel_dirs")
    def _no_folders(self) -> list[str]:
        return []


class VisitorKernels(AsyncMappingKernelManager):
    """Starts kernels with an environment of their own and keeps their chatter off the terminal.

    The server (`parent`) says what: `kernel_environment`, and `kernel_output`, a binary file or None for the terminal.
    """

    async def start_kernel(self, **kwargs: Any) -> str:  # type: ignore[override]
        """Start a kernel; returns its id."""
        server: Any = self.parent
        environment = kwargs.get("env") or os.environ
        kwargs["env"] = {**environment, **dict.fromkeys(_THREADS, "1"), **server.kernel_environment}
        if server.kernel_output is not None:
            kwargs.update(stdout=server.kernel_output, stderr=server.kernel_output)
        kernel_id: str = await super().start_kernel(**kwargs)
        return kernel_id
