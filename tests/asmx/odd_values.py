"""What a real ASMX server makes of the text of one leaf, by type.

A dateTime that has a zone is told in UTC here; the server converts an offset to its own zone.
"""

INTS = {
    "+5": "5", " 5 ": "5", "\n5\t": "5", "-0": "0", "007": "7", "-1": "-1",
    "2147483647": "2147483647", "-2147483648": "-2147483648",
}  # fmt: skip
NO_INTS = ("", " ", "5.0", "1e3", "0x10", "5 5", "1,000", "\u0663", "--1", "+")
TOO_LARGE_INTS = ("2147483648", "-2147483649", "99999999999999999999")

BOOLEANS = {"true": "true", "false": "false", "1": "true", "0": "false", " true ": "true", "\n1\n": "true"}
NO_BOOLEANS = ("", "True", "TRUE", "yes", "2", "01")

ENUMS = ("NA", "InProgress", "Completed")
NO_ENUMS = ("", "completed", " NA", "NA ", "Unknown", "0", "1", "NA InProgress")

STRINGS = {
    # Text that is nothing but white space is kept, in whatever form it was sent; "" is not null.
    "": "", " ": " ", "   ": "   ", "\t": "\t", "\n": "\n", " \t\n ": " \t\n ",
    "&#32;": " ", "&#32;  ": "   ", "&#x20;": " ", "&#x20;  ": "   ", "  &#x20;": "   ",
    "&#9;": "\t", "&#x9;": "\t", "&#10;": "\n", "&#xA;": "\n", "<![CDATA[ ]]>": " ",
    " a ": " a ", "\na\n": "\na\n", "\ta\t": "\ta\t", " &amp; ": " & ",
    # A line end becomes LF; a CR by reference is kept, though an answer, which carries it raw, reads back as LF.
    "\r": "\n", "\r\n": "\n", "a\rb": "a\nb", "a\r\nb": "a\nb", "\r\na\r\n": "\na\n",
    "&#13;": "\r", "&#xD;": "\r", "a&#xD;b": "a\rb", "a&#13;b": "a\rb",
    "a&#xD;\nb": "a\r\nb", "&#xD;&#xA;": "\r\n", " &#xD; ": " \r ",
    "&lt;&amp;&gt;&quot;&apos;": "<&>\"'", "&#65;&#x41;": "AA", "a>b": "a>b",
    "<![CDATA[<&>]]>": "<&>", "a<![CDATA[ b ]]>c": "a b c",
    "\x7f\x80\x85\x9f\xa0\u2028\u2029\ue000\ufffd": "\x7f\x80\x85\x9f\xa0\u2028\u2029\ue000\ufffd",
    "\U0001f600\U0010ffff&#x1F600;&#128512;": "\U0001f600\U0010ffff\U0001f600\U0001f600",
    # A tag that opens the text replaces it and swallows every later field.
    "<b>c</b>": "c", "<b>c</b>d": "c",
}  # fmt: skip
# Malformed, forbidden by XML 1.0, or split by a tag, a comment or a processing instruction: no answer but a 400.
NO_STRINGS = (
    "a<b>c</b>d", "a<br/>", "<b/>", "<b>", "a & b", "a < b", "a]]>b", "a&nbsp;b", "a&b;c",
    "a<!-- c -->b", "<!-- c -->b", "a<?p x?>b",
    "a\x00b", "a\x01b", "a\x0bb", "a\x1fb", "a\ufffeb", "a\uffffb",
    "a&#0;b", "a&#x1;b", "a&#xB;b", "a&#xFFFE;b", "a&#xFFFF;b", "a&#xD800;b", "a&#xD83D;&#xDE00;b", "a&#x110000;b",
)  # fmt: skip

DAY = "2024-02-29"
DATES = {
    f"{DAY}T12:34:56": f"{DAY}T12:34:56",
    f"{DAY}T12:34:56Z": f"{DAY}T12:34:56Z",
    f"{DAY}T12:34:56z": f"{DAY}T12:34:56Z",
    f" {DAY}T12:34:56Z\n": f"{DAY}T12:34:56Z",
    f"{DAY}T12:34:56+05:30": f"{DAY}T07:04:56Z",
    f"{DAY}T12:34:56.5+05:30": f"{DAY}T07:04:56.5Z",
    f"{DAY}T12:34:56-08:00": f"{DAY}T20:34:56Z",
    f"{DAY}T12:34:56+00:00": f"{DAY}T12:34:56Z",
    f"{DAY}T12:34:56-00:00": f"{DAY}T12:34:56Z",
    f"{DAY}T12:34:56+14:00": "2024-02-28T22:34:56Z",
    f"{DAY}T12:34:56-14:00": "2024-03-01T02:34:56Z",
    f"{DAY}T12:34:56+14:01": "2024-02-28T22:33:56Z",
    f"{DAY}T12:34:56+24:00": "2024-02-28T12:34:56Z",
    f"{DAY}T12:34:56+05:60": f"{DAY}T06:34:56Z",
    f"{DAY}T12:34:56.1Z": f"{DAY}T12:34:56.1Z",
    f"{DAY}T12:34:56.123Z": f"{DAY}T12:34:56.123Z",
    f"{DAY}T12:34:56.1234567": f"{DAY}T12:34:56.1234567",
    f"{DAY}T12:34:56.1000000Z": f"{DAY}T12:34:56.1Z",
    # Further digits are rounded, half to even.
    f"{DAY}T12:34:56.12345678Z": f"{DAY}T12:34:56.1234568Z",
    f"{DAY}T12:34:56.123456789Z": f"{DAY}T12:34:56.1234568Z",
    f"{DAY}T12:34:56.12345665Z": f"{DAY}T12:34:56.1234566Z",
    f"{DAY}T12:34:56.12345675Z": f"{DAY}T12:34:56.1234568Z",
    f"{DAY}T12:34:56.123456650001Z": f"{DAY}T12:34:56.1234567Z",
    f"{DAY}T23:59:59.99999999": "2024-03-01T00:00:00",
    # Any shorter form of the schema's other date types is taken too.
    DAY: f"{DAY}T00:00:00",
    f"{DAY}Z": f"{DAY}T00:00:00Z",
    f"{DAY}+05:30": "2024-02-28T18:30:00Z",
    "2024-02": "2024-02-01T00:00:00",
    "2024": "2024-01-01T00:00:00",
    "--02-29": "1904-02-29T00:00:00",
    "2000-02-29T00:00:00": "2000-02-29T00:00:00",
    "0001-01-01T00:00:00": "0001-01-01T00:00:00",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.9999999": "9999-12-31T23:59:59.9999999",
    "9999-12-31T23:59:59.9999999Z": "9999-12-31T23:59:59.9999999Z",
    "0001-01-02T00:00:00+14:00": "0001-01-01T10:00:00Z",
    "9999-12-31T09:59:59-08:00": "9999-12-31T17:59:59Z",
}
# Out of range once converted: clamped without a word, where to depends on the server's zone.
CLAMPED_DATES = (
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
)
NO_DATES = (
    "", "now", f"{DAY}t12:34:56", f"{DAY} 12:34:56", f"{DAY}T12:34", f"{DAY}T12:34Z", f"{DAY}T24:00:00",
    f"{DAY}T12:60:00",
    f"{DAY}T12:34:60", f"{DAY}T-1:34:56", f"{DAY}T12:34:56.", f"{DAY}T12:34:56.Z", f"{DAY}T12:34:56,5Z",
    f"{DAY}T12:34:56Zx",
    f"{DAY}T12:34:56+0530", f"{DAY}T12:34:56+05",  "2024-02-30T00:00:00", "2023-02-29T00:00:00",
    "1900-02-29T00:00:00", "2024-04-31T00:00:00", "2024-13-01T00:00:00", "2024-00-01T00:00:00", "2024-01-00T00:00:00",
    "0000-01-01T00:00:00", "-0001-01-01T00:00:00", "10000-01-01T00:00:00", "+2024-02-29T12:34:56Z", "24-02-29T12:34:56",
    "29-02-2024T12:34:56", "2024-2-9T1:2:3", "20240229T123456", "1709210096",
)  # fmt: skip
