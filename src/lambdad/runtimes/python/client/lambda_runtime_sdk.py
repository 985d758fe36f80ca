"""boto3 before 1.28 does not know AWS_ENDPOINT_URL; the clients that such an SDK makes are given it here.

That is the newest SDK for Python 2.7 and 3.6, and what a package may bring along.
"""

import os
import sys

_KNOWS_ENDPOINT_VARIABLES = (1, 31)  # botocore's version beside boto3 1.28


def teach_endpoint_variables():
    """Makes an old SDK, if one is loaded, read AWS_ENDPOINT_URL_<SERVICE> and AWS_ENDPOINT_URL. Harmless a second time."""
    module = sys.modules.get("botocore.session")
    if module is None or _version(sys.modules.get("botocore")) >= _KNOWS_ENDPOINT_VARIABLES:
        return
    original = module.Session.create_client
    if hasattr(original, "knows_endpoint_variables"):
        return

    def create_client(self, service_name, *arguments, **options):
        # region_name, api_version, use_ssl, verify and endpoint_url may come by position, in this order.
        if len(arguments) < 5 and options.get("endpoint_url") is None:
            options["endpoint_url"] = _endpoint_url(service_name)
        return original(self, service_name, *arguments, **options)

    create_client.knows_endpoint_variables = True
    module.Session.create_client = create_client


def _endpoint_url(service_name):
    variable = "AWS_ENDPOINT_URL_" + service_name.upper().replace("-", "_")
    return os.environ.get(variable) or os.environ.get("AWS_ENDPOINT_URL") or None


def _version(package):
    try:
        return tuple(int(part) for part in package.__version__.split(".")[:2])
    except (AttributeError, ValueError):
        return _KNOWS_ENDPOINT_VARIABLES  # not a release: left as it is
