"""What an account may use, and uses."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from lambdad.model.request import RequestContext
from lambdad.services.lambda_.state import LambdaState


async def get_account_settings(state: LambdaState, context: RequestContext, request: Mapping[str, Any]) -> dict[str, Any]:
    quotas, claimed = state.quotas, state.records.claimed_concurrency(context.account_id, context.region)
    return {
        "AccountLimit": {
            "TotalCodeSize": quotas.code_storage_bytes,
            "CodeSizeUnzipped": quotas.unzipped_bytes,
            "CodeSizeZipped": quotas.zip_bytes,
            "ConcurrentExecutions": quotas.concurrent_executions,
            "UnreservedConcurrentExecutions": quotas.concurrent_executions - claimed,
        },
        "AccountUsage": {
            "TotalCodeSize": await state.records.code_size(context.account_id, context.region),
            "FunctionCount": await state.records.count_functions(context.account_id, context.region),
        },
    }


def code_room(state: LambdaState, context: RequestContext, added_bytes: int) -> AbstractAsyncContextManager[None]:
    """To be held while code is committed, and taken last: who waits for room must hold nothing that others need to
    give theirs up. Raises CodeStorageExceededException."""
    return state.code_storage.room(context.account_id, context.region, added_bytes, state.quotas.code_storage_bytes)
