"""Takes in the code of a function: a zip or a container image, kept if the function is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from lambdad.model.image import ImageOverrides, ImageUse
from lambdad.model.request import RequestContext
from lambdad.model.version import CodeArchive
from lambdad.services.lambda_.image import taken_image
from lambdad.services.lambda_.package import package_bytes
from lambdad.services.lambda_.refusal import invalid_parameter
from lambdad.services.lambda_.state import LambdaState

Taken = tuple[CodeArchive, ImageUse | None]


@asynccontextmanager
async def taken_code(
    state: LambdaState,
    context: RequestContext,
    arn: str,
    code: Mapping[str, Any],
    operation: str,
    overrides: ImageOverrides | None,
    architecture: str,
) -> AsyncIterator[Taken]:
    """For the function of this ARN. `overrides` are those of one that is made from images, None for one made from zips."""
    if overrides is None:
        content = package_bytes(code, context.account_id, state.quotas, state.fetch_object, operation)
        async with state.archives.receive(content) as archive:
            yield archive, None
        return
    if "ImageUri" not in code or len(set(code) & {"ZipFile", "S3Bucket", "S3Key", "S3ObjectVersion"}) > 0:
        doing = "creating" if operation == "CreateFunction" else "updating"
        raise invalid_parameter(f"Please provide ImageUri when {doing} a function with packageType Image.")
    most_bytes = state.quotas.image_bytes
    image = taken_image(state.images, context, arn, code["ImageUri"], architecture, overrides, most_bytes)
    async with image as (use, archive):
        yield archive, use
