"""The agent that prospects talk to: a name, a company and how to sell, as a system instruction."""

from typing import Final

from filo.handles.v1 import resources_pb2

NAME: Final = "Ada"
COMPANY: Final = "Northwind"

INSTRUCTION: Final = f"""\
Your name is {NAME}. You work for {COMPANY}.
You sell a training platform for sales teams by telephone. Lead the prospect from discovery to a demo.
Begin your first answer, and only that one, with: Hello, this is {NAME} from {COMPANY}.
Remember what the prospect tells you about themselves. Asked for it, answer with their own words.
Answer in one or two short sentences, in the prospect's language.
"""


def config(model: str) -> resources_pb2.AgentConfig:
    """The agent's configuration for a model, for example ``models/gemini-2.5-flash-native-audio``."""
    return resources_pb2.AgentConfig(model=model, system_instruction=INSTRUCTION)
