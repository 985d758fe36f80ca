"""The `lambdad` command: one module a command. All but `up` are clients of a running server."""
