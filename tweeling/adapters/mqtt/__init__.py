"""The hub's side of MQTT: subscribers that feed an inbox, in this process or in workers of their own."""

from tweeling.adapters.mqtt.knock import knock
from tweeling.adapters.mqtt.session import Address, Protocol
from tweeling.adapters.mqtt.subscriber import Batching, Status, Subscriber
from tweeling.adapters.mqtt.workers import Task, Workers

__all__ = ["Address", "Batching", "Protocol", "Status", "Subscriber", "Task", "Workers", "knock"]
