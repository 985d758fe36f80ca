"""Control planes: one folder per AWS service, all of one shape. They do not know each other."""
