from courier_client import CourierSyncClient, events

with CourierSyncClient(url="http://127.0.0.1:8766", service_name="shop") as courier:
    event = events.system_announcement(title=1, message="m", severity="info")  # type: ignore[arg-type]
    position: str = courier.publish(*event).position
