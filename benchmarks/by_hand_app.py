"""What a user would write instead of Tailorbird: an application of FastAPI that asks a model of `implicit`.

Started by `uvicorn benchmarks.by_hand_app:app` with the folder of the model in `BY_HAND_MODEL`. It is written for
speed: no thread for a call, no validation of the response, JSON by orjson, one thread of the model for a call.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np
import orjson
from fastapi import FastAPI, HTTPException, Response
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import load_npz

__all__ = ["app"]

_RESULTS: Final = 25
_FOLDER: Final = Path(os.environ["BY_HAND_MODEL"])
_MODEL: Final = AlternatingLeastSquares.load(str(_FOLDER / "model.npz"))
_MODEL.num_threads = 1
_SEEN: Final = load_npz(_FOLDER / "seen.npz")
_ITEMS: Final[list[str]] = orjson.loads((_FOLDER / "items.json").read_bytes())
_ROWS: Final[dict[str, int]] = {
    user: row for row, user in enumerate(orjson.loads((_FOLDER / "users.json").read_bytes()))
}

app = FastAPI()


@app.get("/recommendations/{user_id}")
async def recommend(user_id: str) -> Response:
    """Return 25 items that the user has not seen, with their scores."""
    row = _ROWS.get(user_id)
    if row is None:
        raise HTTPException(404)
    places, scores = _MODEL.recommend(row, _SEEN[row], N=_RESULTS, filter_already_liked_items=True)
    items = [
        {"itemId": _ITEMS[place], "score": round(score, 7)}
        for place, score in zip(places.tolist(), scores.astype(np.float64).tolist(), strict=True)
    ]
    return Response(orjson.dumps({"itemList": items}), media_type="application/json")
