"""Members: who holds cards, what is known of them, and where that is kept.

A member is a journaled record without personal data (`model.Member`). What is known of the person (`profile.Profile`) is a
record beside the journal, sealed with a key that is not in the database; the journal has only its digest.
"""
