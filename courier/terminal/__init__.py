"""Terminal: what a person or a shell script does with a node: publish, subscribe, read its history."""
