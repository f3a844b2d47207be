"""Courier: a real-time event bus that never loses an event silently."""
