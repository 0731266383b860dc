"""Every setting, in labelled blocks. Reads the environment only through `env`.

Importing this module needs no Django: the local runner does so to know ports and folders.
"""

from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from qwenedit import env as _env
from qwenedit import logs as _logs
from qwenedit.lib.files import persistent_secret as _persistent_secret
from qwenedit.lib.files import short_socket_path as _short_socket_path

BASE_DIR = Path(__file__).resolve().parent.parent
env = _env.load(BASE_DIR)

# ── Where local things live ──────────────────────────────────────────────────────────────────
VAR_DIR = Path(
    env.text(
        "VAR_DIR",
        str(BASE_DIR / "var"),
        "Folder of everything local: database, pictures, sockets",
        shown="`var/`",
    )
)

# ── The process ──────────────────────────────────────────────────────────────────────────────
DEBUG = env.boolean("DEBUG", True, "Local mode. Turn it off in production")
SECRET_KEY = env.secret(
    "SECRET_KEY", "Signs sessions. Required with DEBUG off; locally one is made under `var/`"
)
if not SECRET_KEY and DEBUG:
    try:
        SECRET_KEY = _persistent_secret(VAR_DIR / "secret_key")
    except OSError as _error:
        env.problems.append(f"VAR_DIR={VAR_DIR}: can not be written to ({_error.strerror})")
elif not SECRET_KEY:
    env.problems.append("SECRET_KEY: required while DEBUG is off")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", "Host names this site answers to")
PUBLIC_URL = env.url("PUBLIC_URL", "", "Address of this site as the outside sees it")
TRUSTED_PROXY_COUNT = env.integer(
    "TRUSTED_PROXY_COUNT", 0, "Hops of X-Forwarded-For to trust, counted from the right"
)
PORT = env.integer("PORT", 8000, "Port of the web server that `make run` starts", minimum=1, maximum=65535)

ROOT_URLCONF = "qwenedit.urls"
ASGI_APPLICATION = "qwenedit.asgi.application"
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_structlog",
    "qwenedit",
    "qwenedit.users",
    "payments",
    "jobs",
    "webhooks",
    "botapp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "qwenedit" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ru", "Русский")]
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"

# ── Security ─────────────────────────────────────────────────────────────────────────────────
_https = not DEBUG and not PUBLIC_URL.startswith("http://")
SECURE_SSL_REDIRECT = env.boolean(
    "SECURE_SSL_REDIRECT", _https, "Send http visitors to https", shown="true with DEBUG off"
)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _https
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]  # asked by machines inside the network
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL] if PUBLIC_URL else []
AUTH_USER_MODEL = "users.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
METRICS_TOKEN = env.secret("METRICS_TOKEN", "When set, `/metrics` asks for it as a bearer token")


# ── Database: SQLite that survives concurrency, or PostgreSQL ────────────────────────────────
DATABASE_POOL_SIZE = env.integer(
    "DATABASE_POOL_SIZE", 24, "Most connections that one process opens to PostgreSQL", minimum=2
)
# A new connection costs more than a task has to ask of it. None is opened before it is needed, and an outage
# is given up soon: the pool's own pauses between two attempts would outlast it.
_POOL = {"min_size": 0, "max_size": DATABASE_POOL_SIZE, "timeout": 10, "reconnect_timeout": 5}


def _database(url: str) -> dict[str, object]:
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path) or str(VAR_DIR / "db.sqlite3"),
            # IMMEDIATE takes the write lock at BEGIN; WAL alone still ends in "database is locked".
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    return {
        "ENGINE": "qwenedit.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5, "pool": _POOL, **dict(parse_qsl(parts.query))},
    }


DATABASE_URL = env.url(
    "DATABASE_URL", "", "`postgres://user:password@host:5432/name` in production",
    schemes=("postgres", "postgresql"), shown="SQLite under `var/`",
)  # fmt: skip
DATABASES = {"default": _database(DATABASE_URL or "sqlite:")}

# ── Valkey or Redis: broker, cache, rate limits ──────────────────────────────────────────────
REDIS_URL = env.url(
    "REDIS_URL",
    "",
    "Broker, cache, rate limits",
    schemes=("redis", "rediss"),
    shown="embedded Valkey",
)
EMBEDDED_VALKEY_SOCKET = None if REDIS_URL else _short_socket_path(VAR_DIR / "valkey" / "valkey.sock")
CACHE_URL = REDIS_URL or f"unix://{EMBEDDED_VALKEY_SOCKET}?db=1"
CELERY_BROKER_URL = REDIS_URL or f"redis+socket://{EMBEDDED_VALKEY_SOCKET}?virtual_host=0"
CACHES = {
    "default": {
        "BACKEND": "qwenedit.lib.shared_cache.SharedRedisCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "qwenedit",
        "OPTIONS": {
            "max_connections": 1000,  # more than a process has threads: the pool does not wait, it refuses
            "socket_timeout": 2,
            "socket_connect_timeout": 2,
        },
    }
}

# ── Files: pictures are private and served only to their owner ───────────────────────────────
AWS_STORAGE_BUCKET_NAME = env.text("AWS_STORAGE_BUCKET_NAME", "", "Keep pictures in this S3 bucket")
AWS_S3_ENDPOINT_URL = env.url("AWS_S3_ENDPOINT_URL", "", "Address of an S3-compatible service")
AWS_S3_REGION_NAME = env.text("AWS_S3_REGION_NAME", "", "Region of the bucket")
AWS_ACCESS_KEY_ID = env.secret("AWS_ACCESS_KEY_ID", "Key of the bucket")
AWS_SECRET_ACCESS_KEY = env.secret("AWS_SECRET_ACCESS_KEY", "Secret of the bucket")
MEDIA_ROOT = VAR_DIR / "media"
STORAGES = {
    "default": {
        "BACKEND": "qwenedit.lib.s3.PrivateS3Storage",
        "OPTIONS": {
            "bucket_name": AWS_STORAGE_BUCKET_NAME,
            "endpoint_url": AWS_S3_ENDPOINT_URL or None,
            "region_name": AWS_S3_REGION_NAME or None,
            "access_key": AWS_ACCESS_KEY_ID or None,
            "secret_key": AWS_SECRET_ACCESS_KEY or None,
        },
    }
    if AWS_STORAGE_BUCKET_NAME
    else {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEBUG
FILE_UPLOAD_PERMISSIONS = 0o600
FILE_UPLOAD_DIRECTORY_PERMISSIONS = 0o700
MAX_UPLOAD_BYTES = (
    1024 * 1024 * env.integer("MAX_UPLOAD_MB", 20, "Largest picture accepted, in MB", minimum=1)
)
MAX_REQUEST_BYTES = 3 * MAX_UPLOAD_BYTES + 1024 * 1024  # three pictures, and the rest of the form
RESULT_RETENTION_DAYS = env.integer(
    "RESULT_RETENTION_DAYS", 30, "Days that pictures are kept", minimum=1, maximum=3650
)

# ── ComfyUI ──────────────────────────────────────────────────────────────────────────────────
COMFYUI_URLS = env.urls("COMFYUI_URL", "One or more ComfyUI addresses, comma-separated", shown="sandbox")
SANDBOX_COMFYUI_URL = "http://127.0.0.1:8189"
COMFYUI_TIMEOUT = env.integer("COMFYUI_TIMEOUT", 300, "Seconds one attempt may take on the GPU", minimum=1)
COMFYUI_NODE_DEPTH = env.integer("COMFYUI_NODE_DEPTH", 2, "Attempts in flight per node", minimum=1)
COMFYUI_WORKFLOW = env.text(
    "COMFYUI_WORKFLOW", "qwen_image_edit_2511", "Workflow under `jobs/comfy/workflows/`"
)
COMFYUI_LIGHTNING = env.boolean("COMFYUI_LIGHTNING", True, "Use the 4-step Lightning LoRA")
COMFYUI_STEPS = env.integer("COMFYUI_STEPS", 0, "Sampler steps; 0 takes the workflow's own")
COMFYUI_MODEL = env.text("COMFYUI_MODEL", "", "Diffusion model file; empty takes the workflow's own")
COMFYUI_TEXT_ENCODER = env.text(
    "COMFYUI_TEXT_ENCODER", "", "Text encoder file; empty takes the workflow's own"
)
COMFYUI_VAE = env.text("COMFYUI_VAE", "", "VAE file; empty takes the workflow's own")
COMFYUI_LORA = env.text("COMFYUI_LORA", "", "Lightning LoRA file; empty takes the workflow's own")
COMFYUI_NEGATIVE_PROMPT = env.text("COMFYUI_NEGATIVE_PROMPT", "", "Negative prompt of every edit")

# ── Jobs ─────────────────────────────────────────────────────────────────────────────────────
EDIT_COST = env.integer(
    "EDIT_COST", 30, "Points an edit costs unless its preset says otherwise", maximum=1_000_000
)
MAX_ACTIVE_JOBS_PER_USER = env.integer(
    "MAX_ACTIVE_JOBS_PER_USER", 10, "Unfinished edits a user may have", minimum=1
)
MAX_RUNNING_JOBS_PER_USER = env.integer(
    "MAX_RUNNING_JOBS_PER_USER", 2, "Edits of one user that run at once", minimum=1
)
MAX_EVENT_STREAMS_PER_USER = env.integer(
    "MAX_EVENT_STREAMS_PER_USER",
    1000,
    "Event streams of one user open at once, for each web process",
    minimum=1,
)
JOB_MAX_ATTEMPTS = 3
JOB_RETRY_DELAYS = (timedelta(seconds=5), timedelta(seconds=10), timedelta(seconds=20))
JOB_LEASE = timedelta(seconds=20)

# ── Points ───────────────────────────────────────────────────────────────────────────────────
INITIAL_BALANCE = env.integer("INITIAL_BALANCE", 60, "Points a new user starts with", maximum=1_000_000_000)

# ── Money ────────────────────────────────────────────────────────────────────────────────────
POINTS_PER_RUBLE = env.integer("POINTS_PER_RUBLE", 10, "Points for one ruble", minimum=1)
PAYMENT_MIN_AMOUNT = env.integer("PAYMENT_MIN_AMOUNT", 1, "Smallest top-up, rubles", minimum=1)
PAYMENT_MAX_AMOUNT = env.integer("PAYMENT_MAX_AMOUNT", 10_000, "Largest top-up, rubles", minimum=1)
YOOKASSA_ENABLED = env.boolean("YOOKASSA_ENABLED", True, "Take cards and SBP through YooKassa")
YOOKASSA_SHOP_ID = env.text("YOOKASSA_SHOP_ID", "", "Shop at YooKassa", shown="sandbox")
YOOKASSA_SECRET_KEY = env.secret("YOOKASSA_SECRET_KEY", "Secret key of the shop; sandbox if not set")
SANDBOX_YOOKASSA_URL = "http://127.0.0.1:8190"
YOOKASSA_API_URL = env.url("YOOKASSA_API_URL", "https://api.yookassa.ru/v3", "Base of YooKassa's API")
YOOKASSA_WEBHOOK_NETWORKS = env.words(
    "YOOKASSA_WEBHOOK_NETWORKS",
    "",
    "Networks a notification may come from, comma-separated; empty means YooKassa's published list",
)
YOOKASSA_TEST = env.choice(
    "YOOKASSA_TEST", "any", ("any", "true", "false"), "The test flag that payments must carry to be credited"
)
RECEIPT_REQUIRED = env.boolean(
    "RECEIPT_REQUIRED", False, "Ask for an e-mail and send a fiscal receipt (54-FZ)"
)
RECEIPT_VAT_CODE = env.integer("RECEIPT_VAT_CODE", 1, "VAT code of the receipt", minimum=1, maximum=12)
RECEIPT_PAYMENT_SUBJECT = env.text("RECEIPT_PAYMENT_SUBJECT", "service", "Subject on the receipt")
RECEIPT_PAYMENT_MODE = env.text("RECEIPT_PAYMENT_MODE", "full_payment", "Mode on the receipt")
RECEIPT_TAX_SYSTEM = env.integer("RECEIPT_TAX_SYSTEM", 0, "Tax system code, 0 to leave it out", maximum=6)
RATE_LIMIT_ENABLED = env.boolean("RATE_LIMIT_ENABLED", True, "Limit how often payments may be created")
PAYMENT_RATE_LIMIT = env.rate(
    "PAYMENT_RATE_LIMIT", "5/minute", "Payment creations per user, or per address for strangers"
)
PROMO_RATE_LIMIT = env.rate("PROMO_RATE_LIMIT", "10/hour", "Promo codes a user may try")
STARS_ENABLED = env.boolean("STARS_ENABLED", True, "Take Telegram Stars")
POINTS_PER_STAR = env.integer("POINTS_PER_STAR", 15, "Points for one Telegram Star", minimum=1)
REFERRAL_BONUS = env.integer(
    "REFERRAL_BONUS",
    30,
    "Points for a friend's first successful edit, to both; 0 gives none",
    maximum=1_000_000,
)
WEEKLY_BONUS_ENABLED = env.boolean("WEEKLY_BONUS_ENABLED", True, "Give everybody points once a week")
WEEKLY_BONUS_AMOUNT = env.integer("WEEKLY_BONUS_AMOUNT", 10, "Points of the weekly bonus", minimum=1)
WEEKLY_BONUS_DAY = env.integer("WEEKLY_BONUS_DAY", 4, "Its day: Monday is 0, Friday 4", maximum=6)
WEEKLY_BONUS_TIME = env.clock("WEEKLY_BONUS_TIME", "20:00", "Its time of day, UTC")

# ── Telegram: the bot ────────────────────────────────────────────────────────────────────────
BOT_TOKEN = env.secret("BOT_TOKEN", "Token of the bot, from BotFather; sandbox if not set")
TELEGRAM_API_URL = env.url(
    "TELEGRAM_API_URL", "https://api.telegram.org", "Base of the Bot API and its files"
)
SANDBOX_TELEGRAM_URL = "http://127.0.0.1:8191"
TELEGRAM_WEBHOOK_SECRET = env.secret(
    "TELEGRAM_WEBHOOK_SECRET", "Secret that Telegram's webhook calls must carry"
)
BOT_RATE_LIMIT = env.rate(
    "BOT_RATE_LIMIT", "60/minute", "Messages and presses of one person that are answered"
)
BOT_MESSAGES_PER_SECOND = env.integer(
    "BOT_MESSAGES_PER_SECOND",
    25,
    "Messages the bot sends on its own account, in all",
    minimum=1,
    maximum=1000,
)
SUPPORT_CONTACT = env.text("SUPPORT_CONTACT", "", "Whom users may write to: an @name or an address")

# ── Webhooks of integrators ──────────────────────────────────────────────────────────────────
WEBHOOK_ALLOW_PRIVATE_NETWORKS = env.boolean(
    "WEBHOOK_ALLOW_PRIVATE_NETWORKS",
    DEBUG,
    "Send webhooks to private networks and by plain http too",
    shown="true with DEBUG on",
)

# ── Celery: the database row is the truth, a message is a wake-up ────────────────────────────
WORKER_THREADS = env.integer(
    "WORKER_THREADS", 8, "Threads of one worker: attempts it can follow at once", minimum=2
)
WORKER_NICENESS = env.integer(
    "WORKER_NICENESS", 10, "How far a worker steps back behind web and bot on the same machine", maximum=19
)
CELERY_TASK_ACKS_LATE = True  # so that a worker takes no more messages than it has threads
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_POOL = "threads"  # an attempt waits on the network; time limits are the runner's own deadlines
CELERY_WORKER_CONCURRENCY = WORKER_THREADS
CELERY_WORKER_ETA_TASK_LIMIT = 200
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker outlives any outage of its broker
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # A message that its worker died with is not delivered again: the sweeps find its work sooner, and a
    # worker that tells the broker of what it has done ends with a broker that is gone.
    "ack_emulation": False,
    "queue_order_strategy": "priority",
    "global_keyprefix": "qwenedit:",
    "socket_timeout": 30,
    "socket_connect_timeout": 5,
}
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")
CELERY_TIMEZONE = "UTC"

# ── REST API ─────────────────────────────────────────────────────────────────────────────────
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["qwenedit.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["qwenedit.api.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "qwenedit.api.pagination.NewestFirst",
    "DEFAULT_SCHEMA_CLASS": "qwenedit.api.schema.ProblemAutoSchema",
    "EXCEPTION_HANDLER": "qwenedit.api.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "QwenEdit",
    "DESCRIPTION": "Edit photos with words. Every request carries `Authorization: Bearer <key>`.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_PUBLIC": True,
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "JobStatus": "jobs.states.JobStatus",
        "PaymentStatus": "payments.models.PaymentStatus",
        "PaymentMethod": "payments.models.Payment.Method",
        "WebhookDeliveryStatus": "webhooks.models.DeliveryStatus",
    },
}

# ── Watching it run ──────────────────────────────────────────────────────────────────────────
LOG_FORMAT = env.choice(
    "LOG_FORMAT",
    "text" if DEBUG else "json",
    ("text", "json"),
    "How log lines look",
    shown="text, json with DEBUG off",
)
LOG_LEVEL = env.choice(
    "LOG_LEVEL", "info", ("debug", "info", "warning", "error"), "Least level that is logged"
)
LOGGING = _logs.configuration(LOG_FORMAT, LOG_LEVEL)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # `request_ids` logs it: this one would believe any header
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = bool(TRUSTED_PROXY_COUNT)
SENTRY_DSN = env.secret("SENTRY_DSN", "Report unexpected errors to this Sentry")
SILENCED_SYSTEM_CHECKS = ["django_ratelimit.W001"]  # Django's own RedisCache counts atomically

# ── Admin ────────────────────────────────────────────────────────────────────────────────────
UNFOLD = {
    "SITE_TITLE": "QwenEdit",
    "SITE_HEADER": "QwenEdit",
    "SITE_SYMBOL": "photo_filter",
    "SIDEBAR": {"navigation": "qwenedit.admin_index.sidebar"},
    "DASHBOARD_CALLBACK": "qwenedit.admin_index.add_dashboard",
}

env.check()
