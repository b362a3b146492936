"""Programme packs for people: a pack as a contract, what its rules cost and can be made to yield, and a first draft of a new one."""
