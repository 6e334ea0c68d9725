"""SGR: which colours and styles letters are written in, as the parameters that ask for them."""

_ON = {"1": "1", "2": "2", "3": "3", "4": "4", "5": "5", "7": "7", "8": "8", "9": "9", "53": "53"}
_OFF = {
    "21": ("1",),
    "22": ("1", "2"),
    "23": ("3",),
    "24": ("4",),
    "25": ("5",),
    "27": ("7",),
    "28": ("8",),
    "29": ("9",),
    "55": ("53",),
    "39": ("fg",),
    "49": ("bg",),
    "59": ("ul",),
}
_EXTENDED = {"38": "fg", "48": "bg", "58": "ul"}


class Attributes:
    """What is switched on; `text` has it all, `erase` only the background, which blanks take."""

    def __init__(self) -> None:
        self._on: dict[str, str] = {}
        self.text = ""
        self.erase = ""

    def copy(self) -> "Attributes":
        """Return a copy of its own."""
        other = Attributes()
        other._on = dict(self._on)
        other._render()
        return other

    def apply(self, params: str) -> None:
        """Follow the parameters of one `CSI … m`."""
        words = params.split(";")
        at = 0
        while at < len(words):
            word = words[at]
            head = word.partition(":")[0]
            if head in _EXTENDED:
                at += self._extend(words, at)
            else:
                self._switch(word, head)
            at += 1
        self._render()

    def _switch(self, word: str, head: str) -> None:
        if head in ("", "0"):
            self._on.clear()
        elif word == "4:0":
            self._on.pop("4", None)
        elif head in _ON:
            self._on[head] = word
        elif head in _OFF:
            for name in _OFF[head]:
                self._on.pop(name, None)
        elif head.isdigit():
            number = int(head)
            if 30 <= number <= 37 or 90 <= number <= 97:
                self._on["fg"] = head
            elif 40 <= number <= 47 or 100 <= number <= 107:
                self._on["bg"] = head

    def _extend(self, words: list[str], at: int) -> int:
        """Take a colour of more than one parameter; returns how many followed its first."""
        word = words[at]
        if ":" in word:
            self._on[_EXTENDED[word.partition(":")[0]]] = word
            return 0
        mode = words[at + 1] if at + 1 < len(words) else ""
        count = {"5": 2, "2": 4}.get(mode, 0)
        if count and at + count < len(words):
            self._on[_EXTENDED[word]] = ";".join(words[at : at + count + 1])
        return count

    def _render(self) -> None:
        self.text = ";".join(self._on.values())
        self.erase = self._on.get("bg", "")
