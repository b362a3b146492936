"""The outside of cardcore: stores, HTTP, people, command line. `app.py` puts the parts together."""
