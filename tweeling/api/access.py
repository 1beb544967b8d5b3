"""What each role may do, beside each route."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request

from tweeling.api.principals import Principal, Role
from tweeling.api.problems import Problem


def needs(*roles: Role) -> Any:
    """A dependency that lets these roles through."""

    def check(request: Request) -> Principal:
        principal: Principal = request.state.principal
        if principal.role not in roles:
            raise Problem(403, "not yours", f"this needs a token with role {' or '.join(roles)}")
        return principal

    return Depends(check)


Reader = needs(Role.OPERATOR, Role.QUERY)
Scraper = needs(Role.OPERATOR, Role.QUERY, Role.METRICS)
Capturer = needs(Role.CAPTURE)
Maintainer = needs(Role.MAINTAIN)
