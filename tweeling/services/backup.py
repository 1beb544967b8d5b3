"""Whether copies of a hub's stores belong together."""

from __future__ import annotations

from collections.abc import Mapping

from tweeling.errors import InvariantError


def missed(places: Mapping[str, int], *, trimmed: int, last: int) -> str:
    """Why these copies cannot be taken: a store's needs a batch that the journal's has forgotten; empty where they can.

    places: the batch through which the copy of each store is applied. Raises InvariantError for a store that is ahead
    of its journal: no copying makes that, when the journal comes last.
    """
    for store, through in places.items():
        if through > last:
            raise InvariantError(
                f"the {store} are at batch {through}, the journal ends at {last}; `tweeling fsck` says what else",
                field=store,
            )
    late = [store for store, through in places.items() if through < trimmed]
    return f"the journal has forgotten batches that the copy of the {' and '.join(late)} lacks" if late else ""
