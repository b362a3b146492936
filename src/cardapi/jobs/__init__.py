"""Time-driven work: jobs of a business day, made of steps that may each be done again (F6).

A job (`jobs.py` and its neighbours) yields steps; the runner (`runner.py`) keeps how far it came beside the journal. Every
effect goes through the desk under a client key made from what it is about, so a step that is done again changes nothing.
"""
