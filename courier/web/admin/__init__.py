"""Admin: what an operator sees and does: a page, and the JSON that it is made of."""
