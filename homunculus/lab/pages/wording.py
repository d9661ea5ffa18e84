"""What stands on the pages: keys, values and running text, all made up."""

from __future__ import annotations

import numpy as np

# fmt: off
KEYS = {
    "office": (
        "Reference", "File number", "Case officer", "Date of issue", "Valid until", "Department", "Extension", "Room number",
        "Membership no.", "Policy number", "Place of issue", "Registered on", "Renewal date", "Licence class", "Issued by",
        "Postal district", "Emergency contact", "Previous reference", "Language", "Category", "Height (cm)", "Vehicle plate",
        "Next review", "Case opened", "Approved by", "Archive shelf", "Parcel number", "Assessment year", "Plot area",
        "Household size", "Start of lease", "Meter reading", "Connection no.", "Tariff", "Inspector", "Date of visit",
    ),
    "trade": (
        "Invoice number", "Invoice date", "Customer number", "Order number", "Delivery note", "Due date", "VAT number",
        "Contract", "Cost centre", "Your contact", "Payment terms", "Tax point", "Shipment", "Carrier", "Gross weight",
        "Number of packages", "Warehouse", "Quotation", "Project code", "Purchase order",
    ),
    "sums": ("Net total", "Discount", "Freight", "VAT 19%", "Deposit paid", "Amount due", "Rounding", "Packaging"),
    "bank": ("Account holder", "Account number", "Sort code", "Bank", "Payment reference", "Tax office", "Trade register"),
    "plan": ("Drawing no.", "Revision", "Scale", "Drawn by", "Checked by", "Sheet",
        "Date drawn", "Client ref.", "Datum level", "Grid north"),
}
FIRST = (
    "Alda", "Bram", "Corin", "Dessa", "Edric", "Fenna", "Gorm", "Hetta", "Ivo", "Jorun", "Kasia", "Ludo", "Merle",
    "Nilo", "Odile", "Piran", "Quill", "Renske", "Saba", "Tove",
)
LAST = (
    "Abery", "Brandt", "Castell", "Dunmore", "Eskew", "Farrow", "Gristwood", "Hallam", "Ibsley", "Jarrett", "Kestrin",
    "Lorne", "Mabry", "Nettle", "Orrin", "Pascoe", "Quayle", "Rusk", "Selwyn", "Tarrant",
)
TOWNS = (
    "Alder", "Birch", "Cold", "Dun", "East", "Fern", "Glen", "Hazel", "Iron", "King", "Lang", "Marl", "North", "Oak",
    "Pen", "Quarry", "Raven", "Stan", "Thorn", "Ull", "West", "Yar",
)
ENDINGS = (
    "brook", "combe", "dale", "field", "ford", "gate", "ham", "hurst", "ley", "mere", "mouth", "port", "ridge",
    "stead", "ton", "vale", "wick", "worth",
)
THINGS = (
    "bracket", "cable drum", "gasket", "hinge plate", "lamp holder", "pipe clamp", "relay", "sealing ring", "spindle", "terminal block",
    "thermostat", "valve seat", "washer set", "wire mesh", "filter mat", "drive belt", "door closer", "junction box",
)
COLOURS = (
    "black", "blue", "brass", "brown", "clear", "copper", "green", "grey", "red", "steel", "white", "yellow",
)
PARTS = (
    ("The committee", "Our workshop", "A second survey", "The harbour master", "Every tenant", "The night shift", "An earlier notice",
     "The new bridge", "Your neighbour", "The council", "The last delivery", "Half of the members", "A local farmer", "The water company"),
    ("has agreed to", "could not", "will once more", "was asked to", "intends to", "did not", "may later", "had hoped to", "refused to",
     "is expected to", "promised to", "prefers to"),
    ("replace the old fence", "count the boxes twice", "open the gate before noon", "repair the roof of the hall",
     "measure the depth of the channel",
     "move the stones to the yard",
     "send a written answer", "close the footpath for a week", "paint the railings again",
     "publish the list of names", "wait for better weather", "store the tools under cover", "share the cost of the pump"),
    ("because the river had risen", "although nobody complained", "as soon as the money arrives", "unless the law is changed",
     "while the school is closed", "since the harvest was poor", "after a long debate", "without further delay",
     "if the wind allows it", "before the days grow short", "to everyone's surprise", "with the help of two lorries"),
)
HEADLINES = (
    "Ferry returns after winter", "Bakers argue over the price of flour", "Old mill to become a library",
    "Storm leaves valley without light",
    "Council votes for a third bridge", "Orchard wins a prize again", "Railway strike ends at dawn", "A quiet year for the lighthouse",
    "Market square closed on Monday", "Rain delays the grand parade", "School choir sings for the mayor", "Fishermen find a sunken bell",
)
TITLES = {
    "form": ("Application for a permit", "Registration of a change", "Notice of occupancy", "Request for inspection"),
    "table": ("Readings by station", "Stock by depot", "Returns by district", "Output by works"),
    "newspaper": ("The Valley Messenger", "The Harbour Gazette", "Evening Signal", "The Upland Herald"),
    "drawing": ("Ground floor", "Pumping station", "Boiler house", "Drainage plan"),
}
SAFE = "ACEFHKMNPRTXY"  # capitals that are not taken for digits
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)
# fmt: on


def one_of(rng: np.random.Generator, words: tuple[str, ...] | list[str]) -> str:
    return words[int(rng.integers(len(words)))]


def some(rng: np.random.Generator, words: tuple[str, ...] | list[str], count: int) -> list[str]:
    """So many different ones, in random order."""
    return [words[int(place)] for place in rng.permutation(len(words))[:count]]


def towns(rng: np.random.Generator, count: int) -> list[str]:
    """So many different names of places that do not exist."""
    return some(rng, [start + end for start in TOWNS for end in ENDINGS], count)


def person(rng: np.random.Generator) -> str:
    return f"{one_of(rng, FIRST)} {one_of(rng, LAST)}"


def sentence(rng: np.random.Generator) -> str:
    return " ".join(one_of(rng, part) for part in PARTS) + "."


def amount(rng: np.random.Generator) -> str:
    return f"{rng.integers(100, 99999) / 100 * 10 ** int(rng.integers(0, 2)):,.2f}"


def value(rng: np.random.Generator) -> str:
    """A code, date, amount, telephone number or name."""
    kind = int(rng.integers(6))
    if kind == 0:
        letters = "".join(SAFE[int(place)] for place in rng.integers(len(SAFE), size=2))
        return f"{letters}-{rng.integers(1000, 999999)}"
    if kind == 1:
        return f"{rng.integers(1, 29)} {one_of(rng, MONTHS)} {rng.integers(2019, 2027)}"
    if kind == 2:
        return f"{rng.integers(1, 29):02}.{rng.integers(1, 13):02}.{rng.integers(2019, 2027)}"
    if kind == 3:
        return f"0{rng.integers(100, 999)} {rng.integers(100000, 999999)}"
    if kind == 4:
        return f"{rng.integers(10000, 9999999)}/{rng.integers(10, 99)}"
    return person(rng)
