"""Where and when: the client that asks, the dispatcher and its executors, the store of results. Torch-free."""
