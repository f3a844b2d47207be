"""Desk: plain connections as rows of one task, instead of a task or two for each.

It answers plain HTTP requests and WebSockets for the `Service` that it is given, and hands over all else.
"""
