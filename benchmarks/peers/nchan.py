"""nginx with nchan, as a hub: writes a configuration into the working directory and becomes nginx.

One worker, as everything here has one core. It is a channel server only: no tokens, no rate limit, no look at
what it carries. Its messages bear no id of their own, so only the publishers' numbers are checked.
"""

import argparse
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

DEBIAN = Path(sys.prefix) / "bench" / "debian"
"""Where `make bench` unpacks Debian's packages, so that no service is set up on the machine."""

_CONFIGURATION = """\
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr crit;
{user}
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    keepalive_timeout 75s;
    client_body_buffer_size 128k;
    nchan_shared_memory_size 1024M;
    nchan_message_buffer_length 10000;
    nchan_message_timeout 60s;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /health/ready {{ return 200; }}
        location ~ ^/publish/(.+)$ {{
            nchan_publisher http;
            nchan_channel_id $1;
        }}
        location ~ ^/ws/(.+)$ {{
            nchan_subscriber websocket;
            nchan_channel_id $1;
            nchan_subscriber_first_message newest;
        }}
    }}
}}
"""


def programs() -> tuple[str, str] | None:
    """nginx, and nchan's module; None when one of them is not there."""
    nginx = shutil.which("nginx", path=f"{DEBIAN}/usr/sbin:{os.environ.get('PATH', '')}:/usr/sbin")
    folders = (DEBIAN / "usr/lib/nginx/modules", Path("/usr/lib/nginx/modules"))
    found = [str(folder / "ngx_nchan_module.so") for folder in folders]
    module = next(filter(os.path.exists, found), None)
    return None if nginx is None or module is None else (nginx, module)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    found = programs()
    if found is None:
        sys.exit("nginx with nchan is not installed")
    nginx, module = found
    with suppress(OSError):  # nchan has nginx ask for its default folders, whatever the configuration says
        Path("/var/lib/nginx").mkdir(parents=True, exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""
    text = _CONFIGURATION.format(module=module, port=options.port, user=user)
    Path("nginx.conf").write_text(text, encoding="utf-8")
    os.execv(nginx, [nginx, "-p", str(Path.cwd()), "-c", "nginx.conf", "-e", "stderr"])


if __name__ == "__main__":
    _main()
