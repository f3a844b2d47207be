"""The events of Courier, one module for each service that publishes them."""
