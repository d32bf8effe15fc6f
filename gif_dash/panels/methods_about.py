"""What the comparison of methods computes and where it differs from the paper, in HTML."""

from __future__ import annotations

ABOUT = """
<p>Every number here is a class removal (its tab has the equations): one network θ̂, one group of classes U, a
selection J of MR % of the parameters, one step Δ per method, the edited network θ̂ + s·Δ measured along s. A
<b>seed</b> repeats all of it: the network is trained anew (initialisation, order of the examples), the samples behind
gradient and curvature are drawn anew, and the network is retrained without U with that seed, from scratch and from
θ̂. The first seed is the scenario's own network, as in the tab Class removal.</p>
<p><b>Mean ± sd</b> is over seeds; sd is that of one network, not of the mean. <b>Differences</b> are paired: both
methods edit the same network with the same samples. Mean, standard error, a two-sided paired t-test; Holm's
correction over all comparisons of methods at all MRs, and over all comparisons with retraining. A difference is
called one if p &lt; 0.05 after that; “no difference shown” is not “they are equal”. With <i>other classes</i>, each
of the others is removed once, from the first network; the repeats there are classes.</p>
<p><b>IF</b>, <b>IF (Koh &amp; Liang)</b> and <b>IF2</b> change all parameters, so they have no MR. <b>PIF</b> is IF
restricted to J, so one solve serves IF and PIF at every MR; each is charged with all of it, as if it had been alone.
<b>Time</b> is the wall time of one solve, after the graphs of the curvature were built (IF (Koh &amp; Liang) and IF2
build curvatures of their own, which is in their time); of the references it is the training. On a busy machine times
say less than the products (HVPs).</p>
<h3>Where this differs from the paper</h3>
<ul>
<li>Another network and other data: the published table is VGG-11 on CIFAR-10. The layout is the same, the numbers
cannot be.</li>
<li>The best s is chosen on one half of the test set and reported on the other (advanced: the whole, as
published).</li>
<li>Solvers: CGLS with the same few steps for all methods, instead of the Neumann series with a searched constant
(offered too).</li>
<li>All networks are tested on the same images: their choice is in no error bar over seeds. With one seed the bars
show just this: one standard error of so few test images.</li>
<li>In Fig. 4 with several seeds, the curves are means at the points that all seeds share; each network's best s is
its own.</li>
</ul>
"""
