"""Timeball: a regional NTP pool in one process. This module re-exports what a plugin needs, nothing else."""

from appliance.api.context import RunContext, SetupContext
from appliance.api.errors import ConfigError, NotReady
from appliance.api.http import Reply, Request
from appliance.api.plugin import API, API_MIN, PluginInfo, hookimpl

__all__ = [
    "API",
    "API_MIN",
    "ConfigError",
    "NotReady",
    "PluginInfo",
    "Reply",
    "Request",
    "RunContext",
    "SetupContext",
    "hookimpl",
]
