"""The fixtures and helpers that authors are given do what the manual says."""

import types

import pytest

from appliance import PluginInfo, Request, RunContext, SetupContext, hookimpl
from appliance.api.config import PluginConfig, setting
from appliance.api.contrib import Route
from appliance.api.model import Target
from appliance.testing.contract import COMPANIONS
from appliance.testing.fixtures import _virtual_pool, clock, run_plugin  # noqa: F401 - as pytest_plugins would load them
from appliance.testing.pool import virtual_pool as pool_of


class Config(PluginConfig):
    every_s: float = setting(60.0, help="Seconds between beats.", gt=0)


class Beats:
    count = 0


beating = types.ModuleType("beating")
beating.plugin = PluginInfo(id="beating", title="Beating", api=1, config=Config, provides=(Beats,))


@hookimpl
def setup(ctx: SetupContext) -> None:
    ctx.provide(Beats, Beats())


@hookimpl
async def run(ctx: RunContext) -> None:
    def beat() -> None:
        ctx.get(Beats).count += 1

    ctx.every(ctx.config.every_s, beat)
    ctx.ready()
    await ctx.clock.sleep(1e9)


@hookimpl
def routes(ctx: SetupContext) -> list[Route]:
    async def beats(request: Request) -> dict[str, int]:
        return {"beats": ctx.get(Beats).count}

    return [
        Route("GET", "beats", beats, scope="read", summary="Beats"),
        Route("POST", "beats", beats, scope="operate", summary="Beats"),
    ]


beating.setup, beating.run, beating.routes = setup, run, routes


async def test_a_plugin_runs_on_the_clock_of_the_test(run_plugin, clock):  # noqa: F811
    app = await run_plugin(beating, {"every_s": 10})
    await clock.advance(35)
    assert await app.get("/p/beating/beats") == {"beats": 3}


@pytest.mark.parametrize(
    ("role", "status"), [("public", 403), ("viewer", 403), ("operator", 200), ("owner", 200)]
)
async def test_a_client_may_what_its_role_may(run_plugin, role, status):  # noqa: F811
    app = await run_plugin(beating)
    assert (await app.acting(role).ask("POST", "/p/beating/beats")).status == status


async def test_the_clients_of_two_roles_are_two(run_plugin):  # noqa: F811
    app = await run_plugin(beating)
    assert await app.acting("viewer").get("/p/beating/beats") == {"beats": 0}
    with pytest.raises(AssertionError, match="beating:operate"):
        await app.acting("viewer").post("/p/beating/beats")


async def test_a_monitor_sees_what_the_virtual_pool_does(run_plugin, tmp_path, clock):  # noqa: F811
    from appliance.api.services import Prober
    from appliance.testing import running

    with pool_of({"127.0.0.41": {}, "127.0.0.42": {"offset_s": 0.3}}) as pool:
        config = {"plugins": {"clock": COMPANIONS["clock"], "members": pool.members()}}
        async with running(["clock", "members", "monitor"], config, state_dir=tmp_path / "own") as app:
            await app.until_running()
            prober = app.service(Prober)
            good = await prober.probe(Target("127.0.0.41", pool.port), samples=1)
            wrong = await prober.probe(Target("127.0.0.42", pool.port), samples=1)
            pool.set_fault("127.0.0.41", silent=True)
            silent = await prober.probe(Target("127.0.0.41", pool.port), samples=1)
    assert good.error is None
    assert wrong.offset_s - good.offset_s == pytest.approx(0.3, abs=0.15)
    assert silent.error == "timeout"


async def test_a_script_of_faults_is_played_on_the_clock(virtual_pool, clock):  # noqa: F811
    pool = virtual_pool({"127.0.0.43": {}}, clock=clock)
    began_ns = clock.monotonic_ns()
    await pool.play(clock, [(10, "127.0.0.43", {"silent": True}), (5, "127.0.0.43", {})])
    assert clock.monotonic_ns() - began_ns == 15_000_000_000
    assert pool.simulator.members()[0].fault.silent is False
