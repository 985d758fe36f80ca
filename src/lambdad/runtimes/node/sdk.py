"""The AWS SDK for JavaScript: version 2 up to nodejs16.x, version 3 from nodejs18.x on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lambdad.runtimes.find import Interpreter
from lambdad.runtimes.install import NpmInstaller
from lambdad.runtimes.sdk import Sdk

VERSION_2 = "2.1693.0"
#: Not every release has every package, so these stand for the newest of each up to there. What they need in turn is the newest
#: that they allow. Later ones want Node.js 20.
VERSION_3, VERSION_3_FOR_NODE_18 = "3.1176.0", "3.966.0"
#: AWS's runtimes have all, more than 400. These are the ones whose services lambdad has or is most used beside.
CLIENTS = (
    *("cloudwatch", "cloudwatch-logs", "dynamodb", "eventbridge", "firehose", "kinesis", "kms", "lambda", "s3"),
    *("secrets-manager", "ses", "sesv2", "sfn", "sns", "sqs", "ssm", "sts"),
)
OTHERS = ("credential-providers", "lib-dynamodb", "lib-storage", "s3-request-presigner", "util-dynamodb")
PACKAGES_3 = (*(f"@aws-sdk/client-{name}" for name in CLIENTS), *(f"@aws-sdk/{name}" for name in OTHERS))

_LOAD = "for (const name of process.argv.slice(1)) require(name)"


def sdk(runtime: str) -> Sdk:
    major = int(runtime.removeprefix("nodejs").removesuffix(".x"))
    if major < 18:
        return _sdk("aws-sdk", "require('aws-sdk')", ("aws-sdk",), VERSION_2, "")
    newest = VERSION_3_FOR_NODE_18 if major < 20 else VERSION_3
    return _sdk("AWS SDK for JavaScript v3", "import of '@aws-sdk/client-s3'", PACKAGES_3, newest, "<=")


def _sdk(name: str, use: str, packages: Sequence[str], version: str, sign: str) -> Sdk:
    def trial(interpreter: Interpreter, content: Path) -> Sequence[str]:
        return [str(interpreter.executable), "-e", _LOAD, *(str(content / "node_modules" / package) for package in packages)]

    requirements = tuple(f"{package}@{sign}{version}" for package in packages)
    return Sdk(name=name, use=use, requirements=requirements, installer=NpmInstaller(), trial=trial)
