"""What would be lost on the way is refused on every way in, with its place."""

import json

from tests.web.admins import BEARER, TOKEN, post
from tests.web.servers import a_server

STARTED = (
    '{"type":"backtest.started","source":"tests","backtest_id":"b","job_id":"j","user_id":"u",'
    '"parameters":%s}'
)
WRONG = {
    '{"a":1,"a":2}': (["parameters", "a"], "duplicate_key"),
    '{"a":[9007199254740993]}': (["parameters", "a", 0], "inexact_number"),
}


async def test_a_repeated_key_and_a_rounded_number_are_refused_on_every_way_in() -> None:
    service = {"X-Service-Name": "tests", "Content-Type": "application/json"}
    async with a_server(admin_token=TOKEN) as server:
        for parameters, (loc, kind) in WRONG.items():
            event = STARTED % parameters
            envelope = f'{{"channel":"user.u","data":{event}}}'
            alone = await server.publish("user.u", event.encode())
            enveloped = await server.request("POST", "/publish", envelope.encode(), service)
            by_admin = await post(server, "/admin/publish", {**BEARER, **service}, envelope.encode())
            for refusal in (alone, enveloped, by_admin):
                assert refusal.status == 400
                [error] = refusal.error["validation_errors"]
                assert (error["loc"], error["type"]) == (loc, kind)
            good = json.dumps({"channel": "user.u", "data": json.loads(STARTED % "{}")})
            batch = f'{{"events":[{good},{envelope}]}}'
            answer = (await server.request("POST", "/publish/batch", batch.encode(), service)).json
            lines = {**service, "Content-Type": "application/x-ndjson"}
            stream = await server.request("POST", "/publish/batch", f"{good}\n{envelope}\n".encode(), lines)
            for said, failure in ((answer, answer["results"][1]), (stream.json, stream.json["failures"][0])):
                assert (said["published"], said["failed"], failure["code"]) == (1, 1, 400)
                [error] = failure["validation_errors"]
                assert (error["loc"], error["type"]) == (loc, kind)
