"""Which runtimes functions may name."""

from __future__ import annotations

from support.lambda_service import World, function_request, refused


async def test_a_runtime_that_was_just_installed_can_be_named_at_once(world: World) -> None:
    """By a new function and by a change of an old one; before, the refusal says what to install."""
    error = await refused(world.call("CreateFunction", **{**function_request("f"), "Runtime": "nodejs18.x"}))
    assert error.code == "InvalidParameterValueException"
    assert "needs Node.js 18 on this machine, and no usable one was found." in error.message
    world.runtimes.installed = ("nodejs18.x",)
    await world.call("CreateFunction", **{**function_request("f"), "Runtime": "nodejs18.x"})
    await world.call("CreateFunction", **function_request("g"))
    await world.settled("g")
    world.runtimes.installed = ("nodejs22.x",)
    changed = await world.call("UpdateFunctionConfiguration", FunctionName="g", Runtime="nodejs22.x")
    assert changed["Runtime"] == "nodejs22.x"
