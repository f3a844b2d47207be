"""A shop whose tenants watch their own orders: the example of `README.md` in this folder."""
