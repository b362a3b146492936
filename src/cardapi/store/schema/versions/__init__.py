"""Migrations in order; a published one never changes."""
