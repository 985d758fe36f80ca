"""How profiles and jobs are kept; no other module knows.

signer-profile   account/region/name
signer-job       account/region/job id
signer-token     account/region/client's token: the id of the job that it started
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from lambdad.services.signer.model import Job, Profile
from lambdad.store.base import Put, Record, Records

_PROFILES, _JOBS, _TOKENS = "signer-profile", "signer-job", "signer-token"
_PAGE = 500


class SignerRecords:
    def __init__(self, records: Records) -> None:
        self._records = records

    async def profile(self, account_id: str, region: str, name: str) -> Profile | None:
        record = await self._records.get(_PROFILES, f"{account_id}/{region}/{name}")
        return None if record is None else msgspec.json.decode(record.value, type=Profile)

    async def save_profile(self, profile: Profile) -> None:
        key = f"{profile.account_id}/{profile.region}/{profile.name}"
        await self._records.commit([Put(_PROFILES, key, msgspec.json.encode(profile))])

    async def profiles(self, account_id: str, region: str) -> list[Profile]:
        """In the order of their names."""
        found = self._all(_PROFILES, f"{account_id}/{region}/")
        return [msgspec.json.decode(record.value, type=Profile) async for record in found]

    async def job(self, account_id: str, region: str, job_id: str) -> Job | None:
        record = await self._records.get(_JOBS, f"{account_id}/{region}/{job_id}")
        return None if record is None else msgspec.json.decode(record.value, type=Job)

    async def job_of_token(self, account_id: str, region: str, token: str) -> Job | None:
        record = await self._records.get(_TOKENS, f"{account_id}/{region}/{token}")
        return None if record is None else await self.job(account_id, region, record.value.decode())

    async def add_job(self, job: Job) -> None:
        """Conflict where the token has started another."""
        scope = f"{job.account_id}/{job.region}"
        token = Put(_TOKENS, f"{scope}/{job.token}", job.job_id.encode(), if_absent=True)
        await self._records.commit([token, self._put(job)])

    async def save_job(self, job: Job) -> None:
        await self._records.commit([self._put(job)])

    async def jobs(self, account_id: str, region: str) -> list[Job]:
        found = self._all(_JOBS, f"{account_id}/{region}/")
        return [msgspec.json.decode(record.value, type=Job) async for record in found]

    def _put(self, job: Job) -> Put:
        return Put(_JOBS, f"{job.account_id}/{job.region}/{job.job_id}", msgspec.json.encode(job))

    async def _all(self, collection: str, prefix: str) -> AsyncIterator[Record]:
        after = ""
        while page := await self._records.list(collection, prefix=prefix, after=after, limit=_PAGE):
            for record in page:
                yield record
            after = page[-1].key
