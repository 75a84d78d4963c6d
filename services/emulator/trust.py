"""How a client finds and trusts an emulator: what `filo emulator` prints, ready to paste."""

from pathlib import Path
from string import Template
from typing import Final

from services.common.config import Address

_TEXT: Final = Template("""
Python, google-genai:

    import ssl
    from google import genai
    from google.genai import types

    trust = ssl.create_default_context(cafile="$ca")
    options = types.HttpOptions(
        base_url="https://$address", client_args={"verify": trust}, async_client_args={"ssl": trust}
    )
    client = genai.Client(api_key="any", http_options=options)

JavaScript, @google/genai, in Node started with NODE_EXTRA_CA_CERTS=$ca:

    import { GoogleGenAI } from "@google/genai";

    const ai = new GoogleGenAI({ apiKey: "any", httpOptions: { baseUrl: "https://$address" } });

Any other program: SSL_CERT_FILE=$ca GOOGLE_GEMINI_BASE_URL=https://$address
""")


def instructions(address: Address, ca: Path) -> str:
    """What to paste into a program so that it talks to the emulator.

    Args:
        address: Where the emulator listens.
        ca: The file with its certificate authority.
    """
    return _TEXT.substitute(address=address, ca=ca.absolute())
