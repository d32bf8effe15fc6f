"""Recording a scenario: train, make references, compute what the paper shows, keep small tables of it."""
