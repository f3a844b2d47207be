"""Three services, each of which knows Courier and neither the others nor the page."""
