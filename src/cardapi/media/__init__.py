"""Card sessions: the server's side of a tap. Start at `sessions.CardSessions`."""
