"""Every word on the screens, Dutch and English, in one place."""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = ("nl", "en")

_TEXTS: Mapping[str, tuple[str, str]] = {
    # frame
    "title": ("Tweeling", "Tweeling"),
    "claim": ("De levende tweeling van circulaire hubs", "The live twin of circular hubs"),
    "skip": ("Naar de inhoud", "Skip to content"),
    "other_language": ("English", "Nederlands"),
    "log_out": ("Uitloggen", "Log out"),
    "twin_time": ("Tijd in de tweeling", "Time in the twin"),
    "loading": ("De tweeling wordt geladen …", "Loading the twin …"),
    "lost": (
        "De verbinding is weg. Wat hier staat was waar toen ze wegviel; de pagina probeert het zelf opnieuw.",
        "The connection is lost. What stands here was true when it broke; the page keeps trying by itself.",
    ),
    "missing": (
        "Niet alles antwoordt ({parts}). Daarvan staat hier wat het laatst bekend was.",
        "Not everything answers ({parts}). What stands here of it is what was last known.",
    ),
    "missing.things": ("standen", "levels"),
    "missing.events": ("herkomst", "provenance"),
    "missing.health": ("toestand", "health"),
    "missing.nodes": ("gateways", "gateways"),
    "missing.region": ("regio", "region"),
    "missing.counts": ("tellingen", "counts"),
    # Nu
    "now": ("Nu", "Now"),
    "nothing_yet": (
        "Nog geen hubs en nog geen metingen. Zodra de eerste binnenkomt staat ze hier.",
        "No hubs and no readings yet. The first one will show here as it comes in.",
    ),
    "attention": ("Aandacht", "Attention"),
    "attention_none": ("Niets vraagt aandacht.", "Nothing needs attention."),
    "zone": ("Zone", "Zone"),
    "fill": ("Vulling", "Fill"),
    "stock": ("Voorraad", "Stock"),
    "last_reading": ("Laatste meting", "Last reading"),
    "no_reading": ("geen meting", "no reading"),
    "full": ("vol", "full"),
    "nearly_full": ("bijna vol", "nearly full"),
    "high": ("hoog", "high"),
    "silent": ("zwijgt", "silent"),
    "uncertain": ("onzeker", "uncertain"),
    "recording": ("opname", "recording"),
    "online": ("online", "online"),
    "offline_since": ("offline sinds {time}", "offline since {time}"),
    "queued": ("{count} in wachtrij", "{count} queued"),
    "no_node": ("geen gateway", "no gateway"),
    "no_zones": ("Nog geen zones in gebruik.", "No zones in use yet."),
    "kind.hub": ("hub", "hub"),
    "kind.terrain": ("tijdelijk terrein", "temporary terrain"),
    "kind.building": ("leegstaand pand", "vacant building"),
    "kind.other": ("andere containers", "other containers"),
    "just_now": ("zojuist", "just now"),
    "minutes": ("{n} min", "{n} min"),
    "hours": ("{n} u", "{n} h"),
    "days": ("{n} d", "{n} d"),
    "days_hours": ("{d} d {h} u", "{d} d {h} h"),
    # Capaciteit
    "capacity": ("Capaciteit", "Capacity"),
    "choose": ("Zone of container", "Zone or container"),
    "measured": ("Gemeten", "Measured"),
    "median": ("Verwacht (P50)", "Expected (P50)"),
    "band": ("{low} tot {high} van 100 uitkomsten", "{low} to {high} of 100 outcomes"),
    "now_line": ("nu", "now"),
    "end_line": ("einde van de opname", "end of the recording"),
    "full_line": ("vol", "full"),
    "hover": ("{name} %{{y:.0%}}", "{name} %{{y:.0%}}"),
    "when_full": ("Vol", "Full"),
    "full_in": ("over {middle}", "in {middle}"),
    "full_already": ("nu al vol", "full already"),
    "full_later": ("waarschijnlijk niet binnen {horizon}", "probably not within {horizon}"),
    "full_band": ("80% kans: over {early} tot {late}", "80% chance: in {early} to {late}"),
    "full_from": ("90% kans: niet binnen {early}", "90% chance: not within {early}"),
    "p_full": ("Kans op vol binnen {horizon}", "Chance of full within {horizon}"),
    "made_at": ("Gemaakt", "Made"),
    "model": ("Model", "Model"),
    "model.analogs": ("vergelijkbare weken", "similar weeks"),
    "model.persistence": ("zoals nu", "as now"),
    "model.climatology": ("zoals gewoonlijk", "as usual"),
    "error": ("Fout, %-pt", "Error, % pts"),
    "coverage": ("80%-band", "80% band"),
    "trials": ("Proeven", "Trials"),
    "served": ("getoond", "shown"),
    "better": ('{n}% kleinere fout dan "{other}"', '{n}% smaller error than "{other}"'),
    "not_better": ('niet beter dan "{other}"', 'no better than "{other}"'),
    "no_score": ("nog niet beproefd", "not yet put to the test"),
    "no_forecast": (
        "Nog geen verwachting: er is te weinig geschiedenis. Wat gemeten is staat in de grafiek.",
        "No forecast yet: there is too little history. What was measured is in the chart.",
    ),
    "forecast_down": (
        "De verwachting antwoordt nu niet. Over een moment wordt het opnieuw gevraagd.",
        "The forecast does not answer now. It will be asked again in a moment.",
    ),
    "nothing_measured": (
        "Nog niets gemeten. Zodra een sensor meldt, is hier te kiezen wat hij meet.",
        "Nothing is measured yet. As soon as a sensor reports, what it measures can be chosen here.",
    ),
    "unknown_zone": (
        "Deze zone is onbekend. Kies er een uit de lijst.",
        "This zone is unknown. Choose one from the list.",
    ),
    "chart": (
        "Grafiek van de vulling van {name}: veertien dagen gemeten en veertien dagen verwacht",
        "Chart of the fill of {name}: fourteen days measured and fourteen days expected",
    ),
    # Herkomst
    "provenance": ("Herkomst", "Provenance"),
    "no_events": ("Nog geen overdrachten vastgelegd.", "No hand-overs recorded yet."),
    "time": ("Tijd", "Time"),
    "event": ("Gebeurtenis", "Event"),
    "lots": ("Partijen", "Lots"),
    "mass": ("Massa", "Mass"),
    "submitter": ("Ingediend door", "Submitted by"),
    "proof": ("Bewijs", "Proof"),
    "pending": ("wacht op ankering", "waiting for its anchor"),
    "anchored": ("verankerd", "anchored"),
    "block": ("blok {n}", "block {n}"),
    "type.ObjectEvent": ("Object", "Object"),
    "type.AggregationEvent": ("Samenvoeging", "Aggregation"),
    "type.TransactionEvent": ("Transactie", "Transaction"),
    "type.TransformationEvent": ("Bewerking", "Transformation"),
    "type.AssociationEvent": ("Koppeling", "Association"),
    "step.accepting": ("acceptatie", "accepting"),
    "step.arriving": ("aankomst", "arriving"),
    "step.baling": ("persen tot balen", "baling"),
    "step.crushing": ("breken", "crushing"),
    "step.sorting": ("sorteren", "sorting"),
    "step.assembling": ("samenbouw", "assembling"),
    "step.collecting": ("inzameling", "collecting"),
    "step.commissioning": ("ingebruikname", "commissioning"),
    "step.consigning": ("overgave", "consigning"),
    "step.creating_class_instance": ("nieuwe partij", "new lot"),
    "step.cycle_counting": ("telling", "cycle counting"),
    "step.decommissioning": ("buiten gebruik", "decommissioning"),
    "step.departing": ("vertrek", "departing"),
    "step.destroying": ("vernietiging", "destroying"),
    "step.disassembling": ("demontage", "disassembling"),
    "step.dispensing": ("uitgifte", "dispensing"),
    "step.encoding": ("codering", "encoding"),
    "step.entering_exiting": ("in- of uitgang", "entering or exiting"),
    "step.holding": ("vastgehouden", "holding"),
    "step.inspecting": ("inspectie", "inspecting"),
    "step.installing": ("plaatsing", "installing"),
    "step.killing": ("label gewist", "killing"),
    "step.loading": ("laden", "loading"),
    "step.other": ("anders", "other"),
    "step.packing": ("verpakken", "packing"),
    "step.picking": ("verzamelen", "picking"),
    "step.receiving": ("ontvangst", "receiving"),
    "step.removing": ("verwijdering", "removing"),
    "step.repackaging": ("ompakken", "repackaging"),
    "step.repairing": ("reparatie", "repairing"),
    "step.replacing": ("vervanging", "replacing"),
    "step.reserving": ("reservering", "reserving"),
    "step.retail_selling": ("verkoop", "retail selling"),
    "step.sampling": ("bemonstering", "sampling"),
    "step.sensor_reporting": ("sensormelding", "sensor reporting"),
    "step.shipping": ("verzending", "shipping"),
    "step.staging_outbound": ("klaarzetten", "staging outbound"),
    "step.stock_taking": ("inventarisatie", "stock taking"),
    "step.stocking": ("aanvullen", "stocking"),
    "step.storing": ("opslag", "storing"),
    "step.transporting": ("vervoer", "transporting"),
    "step.unloading": ("lossen", "unloading"),
    "step.unpacking": ("uitpakken", "unpacking"),
    "step.void_shipping": ("verzending ingetrokken", "void shipping"),
    # toestand
    "health": ("Toestand", "Health"),
    "part.broker": ("Broker", "Broker"),
    "part.ingest": ("Inname", "Ingest"),
    "part.store": ("Tijdreeksen", "Time series"),
    "part.ledger": ("Keten", "Ledger"),
    "part.forecast": ("Verwachting", "Forecast"),
    "part.certificate": ("Certificaat", "Certificate"),
    "part.disk": ("Schijf", "Disk"),
    "part.custody": ("Herkomst", "Custody"),
    "ok": ("in orde", "fine"),
    "not_ok": ("hapert", "in trouble"),
    "counted": (
        "{readings} metingen opgeslagen, {events} overdrachten",
        "{readings} readings stored, {events} hand-overs",
    ),
}

DAYS = {"nl": ("ma", "di", "wo", "do", "vr", "za", "zo"), "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")}
MONTHS = {
    "nl": ("jan", "feb", "mrt", "apr", "mei", "jun", "jul", "aug", "sep", "okt", "nov", "dec"),
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
}


def text(key: str, lang: str) -> str:
    """The words of a key, or KeyError: an untranslated key is a bug."""
    return _TEXTS[key][LANGUAGES.index(lang)]


def term(group: str, name: str, lang: str) -> str:
    """A word for a standard's term, or the term itself where we have none."""
    known = _TEXTS.get(f"{group}.{name}")
    return name if known is None else known[LANGUAGES.index(lang)]


def keys() -> frozenset[str]:
    """Every key there is."""
    return frozenset(_TEXTS)
