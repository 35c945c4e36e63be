"""The worker on Kafka: a batch at once, its offsets committed when all of it has been dealt with."""

import asyncio
import json
import os

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from worker import Again, Mailer, NoToken, Refused, outcome

TRIES = 5
PAUSE_SECONDS = 10


async def handle(producer, mailer, record):
    topic = os.environ["TOPIC"]
    left = TRIES
    while left:
        try:
            request = json.loads(record.value)
            await mailer.send(request)
            await producer.send_and_wait(f"{topic}.out", outcome(request), key=record.key)
            return
        except NoToken:
            await asyncio.sleep(PAUSE_SECONDS)
        except Again:
            left -= 1
            await asyncio.sleep(PAUSE_SECONDS if left else 0)
        except (Refused, ValueError, KeyError):
            break
    await producer.send_and_wait(f"{topic}.dead", record.value, key=record.key)


async def main():
    brokers, most = os.environ["KAFKA"], int(os.environ["CONCURRENCY"])
    mailer = Mailer()
    producer = AIOKafkaProducer(bootstrap_servers=brokers, enable_idempotence=True)
    consumer = AIOKafkaConsumer(
        os.environ["TOPIC"] + ".send",
        bootstrap_servers=brokers,
        group_id="worker",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    async with producer, consumer:
        while True:
            batch = await consumer.getmany(timeout_ms=1000, max_records=most)
            records = [record for part in batch.values() for record in part]
            await asyncio.gather(*(handle(producer, mailer, record) for record in records))
            if records:
                await consumer.commit()


if __name__ == "__main__":
    asyncio.run(main())
