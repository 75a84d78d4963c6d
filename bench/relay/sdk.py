"""The way most relays are built: google-genai's own session, one for each client."""

import argparse
import asyncio

import uvloop
from google import genai
from google.genai import types
from google.genai.live import AsyncSession
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


async def _up(client: ServerConnection, session: AsyncSession) -> None:
    async for pcm in client:
        if isinstance(pcm, bytes):
            await session.send_realtime_input(audio=types.Blob(data=pcm, mime_type="audio/pcm;rate=16000"))


async def _down(client: ServerConnection, session: AsyncSession) -> None:
    while True:
        async for message in session.receive():  # one turn
            if message.data is not None:
                await client.send(message.data)


async def _main(upstream: str) -> None:
    options = types.HttpOptions(base_url=upstream.replace("wss://", "https://"), api_version="v1beta")
    gemini = genai.Client(api_key="any", http_options=options)
    config = types.LiveConnectConfig(response_modalities=[types.Modality.AUDIO])

    async def handle(client: ServerConnection) -> None:
        async with gemini.aio.live.connect(model="any", config=config) as session:
            tasks = [asyncio.create_task(_up(client, session)), asyncio.create_task(_down(client, session))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def served(client: ServerConnection) -> None:
        try:
            await handle(client)
        except ConnectionClosed:
            return

    async with serve(served, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        print(f"sdk ready: {server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream")
    uvloop.run(_main(parser.parse_args().upstream))
