"""Lumiere: a trading desk whose page is alive, because its services publish to Courier."""
