"""All operations of the plugin."""

from __future__ import annotations

from appliance.api.contrib import Route
from appliance_people import bodies
from appliance_people.operations import Operations

_ARRAY = {"type": "array", "items": {"type": "object"}}


def api_routes(o: Operations) -> tuple[Route, ...]:
    """The API. Whoever signed in may manage the own account (`self:*`)."""
    users, tokens, open_sessions = "/api/v1/users", "/api/v1/tokens", "/api/v1/sessions"
    return (
        Route(
            "POST",
            "/api/v1/session",
            o.sign_in,
            "public",
            "Sign in; the answer sets a cookie",
            body=bodies.SignIn,
            secret=True,
        ),
        Route("GET", "/api/v1/session", o.who_am_i, "self:read", "Who you are, and what you may do"),
        Route("DELETE", "/api/v1/session", o.sign_out, "self:write", "Sign out", status=204),
        Route(
            "POST",
            "/api/v1/session/confirm",
            o.confirm,
            "self:write",
            "Give the password again",
            body=bodies.Confirm,
            secret=True,
        ),
        Route(
            "POST",
            "/api/v1/session/password",
            o.change_password,
            "self:write",
            "Change the own password; ends all other sessions",
            body=bodies.OwnPassword,
            secret=True,
        ),
        Route(
            "GET",
            open_sessions,
            o.list_sessions,
            "self:read",
            "Where you are signed in",
            query=bodies.WhoseQuery,
            returns=_ARRAY,
        ),
        Route("DELETE", open_sessions, o.end_other_sessions, "self:write", "Sign out everywhere else"),
        Route(
            "DELETE",
            f"{open_sessions}/{{id}}",
            o.end_session,
            "self:write",
            "Sign out one session",
            status=204,
        ),
        Route(
            "GET",
            tokens,
            o.list_tokens,
            "self:read",
            "Tokens of programs",
            query=bodies.WhoseQuery,
            returns=_ARRAY,
        ),
        Route(
            "POST",
            tokens,
            o.add_token,
            "self:write",
            "Make a token; it is told once",
            body=bodies.NewToken,
            secret=True,
            confirm=True,
        ),
        Route("DELETE", f"{tokens}/{{id}}", o.revoke_token, "self:write", "Revoke a token", status=204),
        Route("GET", users, o.list_users, "users:read", "Everybody with a role", returns=_ARRAY),
        Route(
            "POST",
            users,
            o.add_user,
            "users:write",
            "Add a user",
            body=bodies.NewUser,
            secret=True,
            confirm=True,
        ),
        Route(
            "PATCH",
            f"{users}/{{id}}",
            o.change_user,
            "users:write",
            "Give another role",
            body=bodies.UserChange,
            confirm=True,
        ),
        Route(
            "DELETE",
            f"{users}/{{id}}",
            o.remove_user,
            "users:write",
            "Remove a user",
            confirm=True,
            status=204,
        ),
        Route(
            "POST",
            f"{users}/{{id}}/reset",
            o.reset_password,
            "users:write",
            "Set a new password; ends all sessions",
            body=bodies.Reset,
            secret=True,
            confirm=True,
        ),
        Route(
            "POST",
            f"{users}-unlock",
            o.unlock,
            "users:write",
            "Let a user or an address try again at once",
            body=bodies.Unlock,
        ),
        Route("GET", "/api/v1/roles", o.list_roles, "self:read", "Roles, and every scope that there is"),
        Route("GET", "/api/v1/audit", o.list_audit, "audit:read", "Who did what", query=bodies.AuditQuery),
        Route(
            "GET",
            "/api/v1/audit.csv",
            o.audit_csv,
            "audit:read",
            "The same as CSV",
            query=bodies.AuditQuery,
            produces=("text/csv",),
        ),
        Route(
            "GET", "/api/v1/audit/verify", o.verify_audit, "audit:read", "Whether the audit trail is whole"
        ),
        Route("GET", "/api/v1/setup", o.setup_state, "public", "Whether the box has an owner"),
        Route(
            "GET",
            "/api/v1/setup/code",
            o.setup_code,
            "setup:code",
            "The setup code of now; on the admin socket only",
            secret=True,
            refuses=(503,),
        ),
        Route(
            "POST",
            "/api/v1/setup/claim",
            o.claim,
            "setup:run",
            "Make the first owner",
            body=bodies.ClaimBody,
            secret=True,
        ),
    )
