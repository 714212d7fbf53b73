"""What the monitor's operations answer."""

from __future__ import annotations

from typing import Final

from appliance.api.shapes import (
    COUNT,
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    TEXTS,
    Schema,
    list_of,
    map_of,
    maybe,
    obj,
    one_of,
    said,
)

_TS: Final = said(NUMBER, "epoch seconds")
_FIGURES: Final = {
    "offset_s": maybe(NUMBER),
    "rtt_s": maybe(NUMBER),
    "stratum": maybe(INTEGER),
    "leap": maybe(INTEGER),
}
_JUDGED: Final = {
    "ts": _TS, "monitor": TEXT, **_FIGURES, "step": maybe(NUMBER), "score": maybe(NUMBER), "error": maybe(TEXT), "rule": TEXT,
}  # fmt: skip
LOG: Final = list_of(obj({"id": COUNT, "member": TEXT, **_JUDGED}))
#: While the database cannot be read, rows come from memory: without id, with the reason in words.
PROBES: Final = list_of(obj({"member": TEXT, **_JUDGED}, {"id": COUNT, "why": TEXT}))
SCORES: Final = list_of(obj({
    "address": TEXT, "port": COUNT, "member": TEXT, "score": maybe(NUMBER), "in_pool": FLAG, "reason": TEXT, "code": TEXT,
    "weight_factor": NUMBER, "truthful": FLAG, "failing": FLAG, "last_ts": maybe(_TS), "last_rule": TEXT,
}))  # fmt: skip

_ABOUT: Final = {"member": TEXT, "monitor": TEXT, "bucket_s": maybe(NUMBER), "step_s": NUMBER}
_MEAN: Final = "of several probes the mean"
_MEDIAN: Final = "null where nothing was measured, and where a part was summarised before medians were kept"
_TENTH: Final = "a tenth of the probes lies {}; null as the median"
_POINT: Final = obj({
    "ts": _TS, "n": said(COUNT, "probes in it; 0 marks a gap"), "offset_s": said(maybe(NUMBER), _MEAN), "offset_min_s": maybe(NUMBER),
    "offset_max_s": maybe(NUMBER), "offset_p10_s": said(maybe(NUMBER), _TENTH.format("below")),
    "offset_median_s": said(maybe(NUMBER), _MEDIAN), "offset_p90_s": said(maybe(NUMBER), _TENTH.format("above")), "rtt_s": maybe(NUMBER), "rtt_min_s": maybe(NUMBER), "rtt_max_s": maybe(NUMBER),
    "score": maybe(NUMBER),
})  # fmt: skip
_COLUMN: Final = list_of(maybe(NUMBER))
_COLUMNS: Final = obj({
    "ts": list_of(_TS), "n": list_of(COUNT), "offset_s": said(_COLUMN, _MEAN), "offset_min_s": _COLUMN, "offset_max_s": _COLUMN,
    "offset_p10_s": said(_COLUMN, _TENTH.format("below")), "offset_median_s": said(_COLUMN, _MEDIAN),
    "offset_p90_s": said(_COLUMN, _TENTH.format("above")),
    "rtt_s": _COLUMN, "score": _COLUMN,
})  # fmt: skip
HISTORY: Final[Schema] = {
    "oneOf": [obj({**_ABOUT, "points": list_of(_POINT)}), obj({**_ABOUT, "columns": _COLUMNS})]
}
TURNS: Final = list_of(obj({"ts": _TS, "kind": one_of("kiss", "leap", "stratum"), "text": TEXT}))

SCORING: Final = obj({
    "profile": TEXT, "good_s": NUMBER, "limit_s": NUMBER, "enter_score": NUMBER, "leave_score": NUMBER, "pool_score": NUMBER,
    "start_score": NUMBER, "decay": NUMBER, "top": NUMBER, "bottom": NUMBER, "gate": TEXT,
    "rules": list_of(obj({"rule": TEXT, "when": TEXT, "step": TEXT, "cap": maybe(NUMBER)})),
})  # fmt: skip
STATE: Final = obj({
    "name": TEXT, "trouble": TEXT, "verdicts_age_s": said(maybe(NUMBER), "null before the first"), "in_flight": COUNT,
    "kernel_timestamps": FLAG, "results": map_of(COUNT),
})  # fmt: skip
_SAMPLE: Final = obj({
    **_FIGURES, "version": maybe(INTEGER), "error": maybe(TEXT), "warnings": TEXTS,
    **dict.fromkeys(("t1_ns", "t2_ns", "t3_ns", "t4_ns"), maybe(INTEGER)),
})  # fmt: skip
PROBE: Final = obj({
    "target": TEXT, "verdict": TEXT, "responded": FLAG, **_FIGURES, "refid": maybe(TEXT), "root_delay_s": maybe(NUMBER),
    "root_dispersion_s": maybe(NUMBER), "error": maybe(TEXT), "warnings": TEXTS, "rule": TEXT, "step": NUMBER, "why": TEXT,
    "ts": _TS, "samples": list_of(_SAMPLE),
})  # fmt: skip

#: The NTP Pool's own shape; rtt in milliseconds, as there.
CLASSIC: Final = obj({
    "history": list_of(obj(
        {"ts": INTEGER, "step": maybe(NUMBER), "score": maybe(NUMBER), "monitor_id": INTEGER}, {"offset": NUMBER, "rtt": NUMBER}
    )),
    "monitors": list_of(obj(
        {"id": INTEGER, "name": TEXT, "type": one_of("score", "monitor"), "ts": TEXT, "score": NUMBER, "status": TEXT},
        {"avg_rtt": NUMBER},
    )),
    "server": obj({"ip": TEXT}),
})  # fmt: skip
