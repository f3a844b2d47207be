"""What Courier is for, running."""
