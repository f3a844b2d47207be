"""The users of the example, who have no password."""

USERS = ("ada", "blaise")
