"""What stands under deploy/, judged without a service manager, an engine or a cluster."""
