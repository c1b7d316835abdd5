"""Settings: their sources, their names, their complaints, their way into a child process."""

from __future__ import annotations

import pickle
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as run_with
from hypothesis import strategies as st

from ledger.environment import variables_of
from ledger.errors import InvalidSetting
from ledger.price import Price
from ledger.settings import BudgetSpec, InstanceSpec, Settings, load_settings

NO_FILE = {"APEX_CONFIG": ""}
PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def load(env: dict[str, str] | None = None, **overrides: Any) -> Settings:
    return load_settings(env=NO_FILE | (env or {}), **overrides)


def complaint(env: dict[str, str] | None = None, **overrides: Any) -> str:
    with pytest.raises(InvalidSetting) as caught:
        load_settings(env=NO_FILE | (env or {}), **overrides)
    said = str(caught.value)
    assert said.endswith((".", "?"))
    assert "\n" not in said
    return said


def in_file(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "apexq.toml"
    path.write_text(text, "utf-8")
    return {"APEX_CONFIG": str(path)}


# --- sources ---


def test_without_any_source_the_defaults_of_the_seeds_hold() -> None:
    settings = load()
    assert settings.backend == "mock"
    assert [one.name for one in settings.instances] == ["inst0", "inst1", "inst2", "inst3", "inst4"]
    assert (settings.ctx_tokens, settings.timeout_s) == (4096, 180)
    assert (settings.episode_timeout_s, settings.progress_extend_s) == (1800, 120)
    assert settings.episode_timeout_max_s == 3600
    assert (settings.temperature, settings.top_p, settings.max_tokens) == (0.7, 0.9, 512)


def test_a_gguf_file_alone_means_llama_cpp_and_a_named_backend_wins() -> None:
    env = {"APEX_GGUF_MODEL_PATH": "/m.gguf"}
    assert {one.backend for one in load(env).instances} == {"llama_cpp"}
    assert load({"LLM_MODEL": "hf:org/repo:file.gguf"}).backend == "llama_cpp"
    assert load(model="model.gguf").instances[0].backend == "llama_cpp"
    assert load(model="org/model").backend == "mock"
    assert load(env | {"LLM_BACKEND": "mock"}).backend == "mock"
    assert load(env | {"APEX_LLM_STUB": "1"}).instances[0].backend == "mock"
    assert load(env, backend="hf").instances[0].backend == "hf"
    table = {"name": "a", "backend": "vllm"}
    assert load(env, instances=[table]).instances[0].backend == "vllm"


def test_an_argument_wins_over_apex_over_llm_over_the_file_over_the_default(tmp_path: Path) -> None:
    env = in_file(tmp_path, "timeout_s = 10")
    assert load_settings(env=env).timeout_s == 10
    env["LLM_TIMEOUT"] = "20"
    assert load_settings(env=env).timeout_s == 20
    env["APEX_LLM_TIMEOUT_S"] = "30"
    assert load_settings(env=env).timeout_s == 30
    assert load_settings(env=env, timeout_s=40).timeout_s == 40


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("REDIS_URL", "rediss://u:p@h:1/2", "redis_url", "rediss://u:p@h:1/2"),
        ("APEX_LLM_BACKEND", "llama_cpp_metal", "backend", "llama_cpp"),
        ("APEX_LLM_BACKEND", "hf_cuda", "backend", "hf"),
        ("LLM_BACKEND", "Ollama", "backend", "ollama"),
        ("APEX_LLM_MODEL_ID", "m", "model", "m"),
        ("APEX_HF_MODEL_ID", "m", "model", "m"),
        ("LLM_MODEL", "m", "model", "m"),
        ("APEX_GGUF_MODEL_PATH", "/m.gguf", "gguf_model_path", Path("/m.gguf")),
        ("APEX_LLM_CTX_TOKENS", " 8192 ", "ctx_tokens", 8192),
        ("LLM_API_BASE", "http://h/v1", "api_base", "http://h/v1"),
        ("LLM_TEMPERATURE", "0", "temperature", 0),
        ("LLM_TOP_P", "1", "top_p", 1),
        ("LLM_MAX_TOKENS", "64", "max_tokens", 64),
        ("LLM_ENABLE_CACHE", "true", "enable_cache", True),
        ("LLM_ENABLE_CACHE", "false", "enable_cache", False),
        ("LLM_CACHE_DIR", "c", "cache_dir", Path("c").absolute()),
        ("APEX_CACHE_TTL_S", "60", "cache_ttl_s", 60),
        ("APEX_CACHE_MAX_MB", "0", "cache_max_mb", 0),
        ("APEX_LOG_PROMPTS", "1", "log_prompts", True),
        ("APEX_MOCK_DIRECTIVES", "yes", "mock_directives", True),
        ("APEX_EPISODE_TIMEOUT_S", "60", "episode_timeout_s", 60),
        ("APEX_PROGRESS_EXTEND_S", "60", "progress_extend_s", 60),
        ("APEX_EPISODE_TIMEOUT_MAX_S", "7200", "episode_timeout_max_s", 7200),
        ("APEX_LEASE_S", "0.5", "lease_s", 0.5),
        ("APEX_MAX_ATTEMPTS", "1", "max_attempts", 1),
        ("APEX_MAX_WAITING", "10", "max_waiting", 10),
        ("APEX_RETENTION_S", "1", "retention_s", 1),
        ("APEX_MAX_PROMPT_BYTES", "1", "max_prompt_bytes", 1),
        ("APEX_LOAD_TIMEOUT_S", "1", "load_timeout_s", 1),
        ("APEX_ABSENT_S", "1", "absent_s", 1),
        ("APEX_AFFINITY", "bounded", "affinity", "bounded"),
        ("APEX_PREFILL_TOKENS_PER_S", "50", "prefill_tokens_per_s", 50),
        ("APEX_USAGE_RETENTION_S", "63072000", "usage_retention_s", 2 * 365 * 86_400),
    ],
)
def test_a_variable_sets_its_field(variable: str, value: str, field: str, expected: object) -> None:
    assert getattr(load({variable: value}), field) == expected


def test_an_empty_variable_and_a_none_argument_count_as_not_given() -> None:
    assert load({"APEX_LLM_CTX_TOKENS": " "}, ctx_tokens=None).ctx_tokens == 4096


def test_variables_of_other_software_are_ignored() -> None:
    assert load({"LLM_PROXY": "x", "PATH": "/bin", "apex_x": "y"}) == load()


def test_the_file_beside_the_process_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file(tmp_path, "max_tokens = 7")
    monkeypatch.chdir(tmp_path)
    assert load_settings(env={}).max_tokens == 7
    assert load_settings(env={}).config == tmp_path / "apexq.toml"
    assert load_settings(env=NO_FILE).max_tokens == 512


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APEX_CONFIG", "")
    monkeypatch.setenv("LLM_MAX_TOKENS", "9")
    assert load_settings().max_tokens == 9


# --- instances ---


@pytest.mark.parametrize("variable", ["APEX_LLM_INSTANCES", "APEX_NUM_LLM_INSTANCES"])
def test_a_number_of_instances_makes_like_ones(variable: str) -> None:
    settings = load({variable: "2", "LLM_BACKEND": "ollama", "LLM_MODEL": "m"})
    assert settings.instances == (
        InstanceSpec(name="inst0", backend="ollama", model="m"),
        InstanceSpec(name="inst1", backend="ollama", model="m"),
    )
    assert load(instances=2).instances == load({variable: "2"}).instances


def test_two_names_of_the_number_of_instances_must_agree() -> None:
    both = {"APEX_LLM_INSTANCES": "3", "APEX_NUM_LLM_INSTANCES": "3"}
    assert len(load(both).instances) == 3
    both["APEX_NUM_LLM_INSTANCES"] = "4"
    said = complaint(both)
    assert "APEX_LLM_INSTANCES" in said
    assert "APEX_NUM_LLM_INSTANCES" in said


def test_instance_tables_have_defaults_and_the_backends_own_options(tmp_path: Path) -> None:
    env = in_file(
        tmp_path,
        """
        backend = "vllm"
        model = "m"
        [[instances]]
        name = "inst0"
        slots = 16
        roles = ["Planner"]
        weight = 2
        endpoints = ["http://a/v1"]
        [[instances]]
        name = "gpu-1.b"
        backend = "hf_cuda"
        model = "other"
        """,
    )
    first, second = load_settings(env=env).instances
    assert (first.backend, first.model, first.slots, first.weight) == ("vllm", "m", 16, 2.0)
    assert first.roles == ("Planner",)
    assert first.options == {"endpoints": ["http://a/v1"]}
    assert second == InstanceSpec(name="gpu-1.b", backend="hf", model="other")


def test_specs_given_as_an_argument_are_taken_as_they_are() -> None:
    specs = (InstanceSpec(name="a", backend="ollama"), InstanceSpec(name="b", backend="mock"))
    assert load({"LLM_MODEL": "m"}, instances=specs).instances == specs


def test_stub_gives_every_instance_the_mock_backend_without_the_others_options(
    tmp_path: Path,
) -> None:
    env = in_file(
        tmp_path, '[[instances]]\nname = "a"\nbackend = "vllm"\nmodel = "m"\nendpoints = ["e"]'
    )
    settings = load_settings(env=env | {"APEX_LLM_STUB": "1", "APEX_LLM_BACKEND": "hf_cuda"})
    assert settings.backend == "mock"
    assert settings.instances == (InstanceSpec(name="a", backend="mock", model="m"),)
    assert load({"APEX_LLM_STUB": "1"}, backend="hf").instances[0].backend == "mock"


def test_an_unknown_instance_is_named_beside_the_known_ones() -> None:
    settings = load(instances=12)
    assert settings.instance("inst11").name == "inst11"
    with pytest.raises(InvalidSetting, match=r"'inst12'; known: inst0, .*inst9 and 2 more; use"):
        settings.instance("inst12")


# --- fallbacks ---

TWO = '[[instances]]\nname = "a"\nmodel = "big"\n[[instances]]\nname = "b"\nmodel = "small"\n'


def test_a_model_has_others_that_are_tried_after_it(tmp_path: Path) -> None:
    settings = load_settings(env=in_file(tmp_path, f'{TWO}[fallbacks]\nbig = ["small"]'))
    assert settings.fallbacks == {"big": ("small",)}
    assert load_settings(env=settings.to_env()) == settings
    assert load_settings(env=in_file(tmp_path, f'{TWO}[fallbacks]\nbig = "small"')) == settings


@pytest.mark.parametrize(
    ("chains", "expected"),
    [
        ('big = ["smal"]', "no instance has the model 'smal'; did you mean 'small'?"),
        ('bgi = ["small"]', "no instance has the model 'bgi'; did you mean 'big'?"),
        ('big = ["small"]\nsmall = ["big"]', "'big' leads back to itself; a chain has an end"),
        ('big = ["big"]', "a model is named twice in the chain of 'big'"),
        ('big = ["small", "small"]', "a model is named twice in the chain of 'big'"),
        ("big = []", "'big' has no model after it; leave it out"),
        ("big = 5", "big of fallbacks in"),
    ],
)
def test_a_chain_of_models_that_cannot_be_followed_is_refused(
    tmp_path: Path, chains: str, expected: str
) -> None:
    assert expected in complaint(in_file(tmp_path, f"{TWO}[fallbacks]\n{chains}"))
    assert "takes models by model" in complaint(in_file(tmp_path, "fallbacks = 5"))


def test_instances_of_an_argument_leave_the_files_chains_out_also_in_a_child(
    tmp_path: Path,
) -> None:
    env = in_file(tmp_path, f'{TWO}[fallbacks]\nbig = ["small"]')
    settings = load_settings(env=env, instances=2)
    assert settings.fallbacks == {}
    assert load_settings(env=settings.to_env()) == settings
    with pytest.raises(InvalidSetting, match="no instance has the model 'big'"):
        load_settings(env=env, instances=2, fallbacks={"big": ["small"]})


def test_instances_of_an_argument_leave_the_environments_chains_out() -> None:
    env = {"APEX_FALLBACKS": '{"big": ["small"]}'}
    tables = [{"name": "a", "model": "large"}, {"name": "b", "model": "little"}]
    assert load(env, instances=2).fallbacks == {}
    assert "no instance has the model 'big'" in complaint(env)
    chains = {"large": ["little"]}
    assert load(env, instances=tables, fallbacks=chains).fallbacks == {"large": ("little",)}


# --- budgets ---


def test_a_limit_is_its_own_or_that_of_every_other(tmp_path: Path) -> None:
    settings = load_settings(
        env=in_file(tmp_path, '[budgets.tenant]\nacme.tokens = 5\n"*".tokens_per_day = 7\n')
    )
    assert settings.budget("tenant", "acme") == BudgetSpec(tokens=5)
    assert settings.budget("tenant", "other") == BudgetSpec(tokens_per_day=7)
    assert settings.budget("session", "s") is None


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            "[budgets.tenant.a]\ntokens_per_week = 5",
            "unknown limit 'tokens_per_week'; did you mean 'tokens_per_day'? There are tokens, ",
        ),
        ("[budgets.tenat.a]\ntokens = 5", "unknown scope 'tenat'; did you mean 'tenant'?"),
        ("[budgets.tenant.a]\ntoken = 5", "unknown limit 'token'; did you mean 'tokens'?"),
        ("[budgets.tenant.a]", "tenant.a of budgets in "),
        ("[budgets.tenant.a]", "it gives no limit, such as `tokens_per_day = 100_000`."),
        ("[budgets.tenant.a]\ntokens = 0", "must be greater than or equal to 1, not '0'"),
        ("[budgets.tenant.a]\ntokens = -1", "must be greater than or equal to 1, not '-1'"),
        ("[budgets.tenant.a]\ntokens_per_hour = nan", "must be a valid integer, not 'nan'"),
        ("[budgets.tenant.a]\ntokens_per_hour = 1.5", "must be a valid integer, not '1.5'"),
        ("[budgets.tenant.a]\ntokens = 9007199254740992", "less than or equal to 9007199254740991"),
        ("[budgets.tenant.a]\ntokens = true", "tenant.a.tokens of budgets in"),
        ("[budgets.role.Boss]\ntokens = 5", "unknown role 'Boss'; the roles are Planner, Coder, "),
        ("[budgets.role]\nCoder.tokens = 5\ncoder.tokens = 6", "two tables are of the same role"),
        ("budgets = 5", "takes tables by scope and id"),
    ],
)
def test_a_budget_that_cannot_be_held_is_refused(tmp_path: Path, table: str, expected: str) -> None:
    assert expected in complaint(in_file(tmp_path, table))


# --- prices ---


def test_a_price_is_what_was_written_and_not_the_nearest_float(tmp_path: Path) -> None:
    table = '[prices."org/model"]\nprompt = 0.1\ncompletion = "0.30"\ncurrency = "EUR"'
    prices = load_settings(env=in_file(tmp_path, table)).prices
    assert prices == {
        "org/model": Price(prompt=Decimal("0.1"), completion=Decimal("0.3"), currency="EUR")
    }


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("[prices.m]\nprompt = -1\ncompletion = 1", "must be greater than or equal to 0, not '-1'"),
        ("[prices.m]\nprompt = nan\ncompletion = 1", "must be a finite number, not 'nan'"),
        ("[prices.m]\nprompt = 1", "m.completion of prices in"),
        ("[prices.m]\nprompts = 1", "unknown key 'prompts'; did you mean 'prompt'?"),
        ("[prices.m]\nprompt = 1\ncompletion = true", "m.completion of prices in"),
        ("prices = 5", "takes tables by model"),
    ],
)
def test_a_price_that_cannot_be_used_is_refused(tmp_path: Path, table: str, expected: str) -> None:
    assert expected in complaint(in_file(tmp_path, table))


# --- complaints ---


def test_an_unknown_name_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    said = complaint({"APEX_LLM_INSTANCE": "3"})
    assert "APEX_LLM_INSTANCE;" in said
    assert "APEX_LLM_INSTANCES?" in said
    assert "'max_tokens'?" in complaint(in_file(tmp_path, "max_token = 3"))
    assert "'temperature'?" in complaint(tempreature=0.5)
    assert "Unknown key 'config'" in complaint(in_file(tmp_path, "config = 'other.toml'"))


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("APEX_LLM_CTX_TOKENS", "abc", "must be a valid integer, not 'abc'"),
        ("APEX_LLM_CTX_TOKENS", "5.5", "must be a valid integer, not '5.5'"),
        ("APEX_LLM_CTX_TOKENS", "-1", "must be greater than or equal to 1, not '-1'"),
        ("LLM_TEMPERATURE", "nan", "must be a finite number, not 'nan'"),
        ("APEX_LEASE_S", "inf", "must be a finite number, not 'inf'"),
        ("APEX_LLM_TIMEOUT_S", "0", "must be greater than 0, not '0'"),
        ("LLM_TIMEOUT", "-3", "must be greater than 0, not '-3'"),
        ("LLM_TOP_P", "2", "must be less than or equal to 1, not '2'"),
        ("APEX_LLM_STUB", "maybe", "must be a valid boolean, not 'maybe'"),
        ("APEX_LLM_INSTANCES", "0", "takes a number from 1 to 10000"),
        ("APEX_LLM_INSTANCES", "many", "takes a number from 1 to 10000"),
        ("APEX_LLM_INSTANCES", "[]", "takes a number from 1 to 10000"),
        ("APEX_LLM_INSTANCES", "true", "takes a number from 1 to 10000"),
        ("APEX_LLM_INSTANCES", '[{"name": "a b"}]', "letters, digits"),
        ("APEX_LLM_INSTANCES", '[{"name": "a\\nb"}]', "letters, digits"),
        ("APEX_LLM_INSTANCES", '[{"name": "unacked"}]', "Celery uses itself"),
        ("APEX_LLM_INSTANCES", '[{"name": "a"}, {"name": "a"}]', "two instances have the name 'a'"),
        ("APEX_LLM_INSTANCES", '[{"nme": "a"}]', "0.name of APEX_LLM_INSTANCES is missing"),
        ("APEX_LLM_INSTANCES", '[{"name": "a", "slots": 0}]', "0.slots of APEX_LLM_INSTANCES"),
        ("APEX_LLM_INSTANCES", '[{"name": "a", "slots": true}]', "0.slots of APEX_LLM_INSTANCES"),
        ("APEX_LLM_INSTANCES", '[{"name": "a", "weight": 0}]', "0.weight of APEX_LLM_INSTANCES"),
        ("APEX_LLM_INSTANCES", '[{"name": "a", "options": 1, "b": 2}]', "0.options of APEX_LLM_I"),
        ("LLM_API_BASE", "localhost:8000", "takes a URL"),
        ("APEX_BUDGETS", "{", "takes tables by scope and id"),
        ("APEX_CONFIG", "/nowhere/apexq.toml", "which is not a file"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_variable_and_what_that_takes(
    variable: str, value: str, expected: str
) -> None:
    said = complaint({variable: value})
    assert variable in said
    assert expected in said


def test_a_bad_value_in_the_file_or_an_argument_is_named_by_its_place(tmp_path: Path) -> None:
    env = in_file(tmp_path, "max_tokens = 0")
    assert complaint(env).startswith(f"max_tokens in {tmp_path}/apexq.toml must be")
    assert complaint(max_tokens=0).startswith("The argument max_tokens must be")
    assert "no true or false" in complaint(in_file(tmp_path, "max_tokens = true"))


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert "is not valid TOML" in complaint(in_file(tmp_path, "a = "))
    (tmp_path / "apexq.toml").write_bytes(b"\xff\xfe")
    assert "is not valid TOML" in complaint({"APEX_CONFIG": str(tmp_path / "apexq.toml")})
    assert "is not a file" in complaint({"APEX_CONFIG": str(tmp_path)})


def test_an_episode_may_not_be_longer_than_its_maximum() -> None:
    assert "raise APEX_EPISODE_TIMEOUT_MAX_S" in complaint({"APEX_EPISODE_TIMEOUT_S": "7200"})


def test_an_option_that_json_does_not_know_is_refused(tmp_path: Path) -> None:
    said = complaint(in_file(tmp_path, '[[instances]]\nname = "a"\nsince = 2026-01-01'))
    assert "only what JSON knows" in said


# --- secrets ---


def test_secrets_are_never_shown() -> None:
    spec = InstanceSpec(name="a", backend="remote", options={"api_key": "hidden3"})
    settings = load(
        {"LLM_API_KEY": "hidden1", "REDIS_URL": "redis://:hidden2@h/0"}, instances=(spec,)
    )
    assert settings.api_key is not None
    assert settings.api_key.get_secret_value() == "hidden1"
    assert "hidden" not in repr(settings) + str(settings)
    assert "hidden" not in complaint({"REDIS_URL": "hidden@host"})


def test_a_keys_newline_is_no_part_of_it() -> None:
    key = load({"LLM_API_KEY": "sk-1\n"}).api_key
    assert key is not None
    assert key.get_secret_value() == "sk-1"


@pytest.mark.parametrize("key", ["sk-\nhidden", "sk-hiddén", "sk-hidden\x00"])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    said = complaint({"LLM_API_KEY": key})

    assert said == "LLM_API_KEY: the key has a character that no key has; copy it again."


# --- child processes ---

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True).filter(
    lambda name: not name.startswith("unacked")
)
amounts = st.decimals(0, 1000, places=4)
tokens = st.integers(1, 2**53 - 1)
words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
keys = st.text(st.characters(codec="ascii", exclude_categories=["C", "Z"]), min_size=1)
specs = st.builds(
    InstanceSpec,
    name=names,
    backend=words,
    model=st.none() | words,
    slots=st.integers(1, 64),
    roles=st.lists(words, max_size=3).map(tuple),
    weight=st.floats(0.01, 100),
    options=st.dictionaries(words, st.integers() | words | st.booleans() | st.lists(words)),
)


@run_with(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    overrides=st.fixed_dictionaries(
        {},
        optional={
            "stub": st.booleans(),
            "backend": words,
            "model": words,
            "instances": st.integers(1, 20)
            | st.lists(specs, min_size=1, max_size=4, unique_by=lambda one: one.name).map(tuple),
            "gguf_model_path": words.map(Path),
            "api_key": keys,
            "temperature": st.floats(0, 10),
            "lease_s": st.floats(0.001, 100),
            "mock_directives": st.booleans(),
            "budgets": st.dictionaries(
                st.sampled_from(["tenant", "agent", "session", "episode"]),
                st.dictionaries(words, st.builds(BudgetSpec, tokens=tokens, tokens_per_day=tokens)),
            ),
            "prices": st.dictionaries(
                words, st.builds(Price, prompt=amounts, completion=amounts, currency=words)
            ),
        },
    )
)
def test_a_child_process_loads_equal_settings(overrides: dict[str, Any]) -> None:
    settings = load(**overrides)
    assert load_settings(env=settings.to_env()) == settings


def test_a_child_process_loads_equal_settings_from_the_same_file(tmp_path: Path) -> None:
    env = in_file(tmp_path, 'max_tokens = 9\n[[instances]]\nname = "a"\nbackend = "vllm"\nx = [1]')
    settings = load_settings(env=env, temperature=0.1)
    assert settings.to_env()["APEX_CONFIG"] == str(tmp_path / "apexq.toml")
    assert load_settings(env=settings.to_env()) == settings


def test_what_a_parents_environment_says_otherwise_does_not_reach_the_child() -> None:
    parent = {"APEX_NUM_LLM_INSTANCES": "9", "LLM_MODEL": "m", "APEX_LLM_STUB": "1", "HOME": "/"}
    settings = load(instances=2, backend="ollama")
    assert load_settings(env=parent | settings.to_env()) == settings


def test_a_child_process_knows_what_nobody_has_set() -> None:
    child = load_settings(env=load(temperature=0.7).to_env())
    assert "temperature" in child.model_fields_set
    assert "top_p" not in child.model_fields_set


def test_settings_can_be_pickled() -> None:
    settings = load({"LLM_API_KEY": "k"})
    assert pickle.loads(pickle.dumps(settings)) == settings


# --- the page ---


def test_the_page_lists_every_setting_as_the_code_has_it() -> None:
    listed = re.findall(r"^\| `.*\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    defaults = Settings(**dict(Settings())).to_env()
    expected = []
    for field, variables in variables_of(Settings).items():
        default = defaults[variables[0]]
        cells = [
            ", ".join(f"`{name}`" for name in variables),
            "" if field == "config" else f"`{field}`",
            f"`{default}`" if default else "none",
            str(Settings.model_fields[field].description),
        ]
        expected.append(f"| {' | '.join(cells)} |")
    assert set(variables_of(Settings)) == set(Settings.model_fields)
    assert listed == expected


def test_what_the_page_of_models_shows_as_a_file_loads(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE.with_name("models.md").read_text(), re.DOTALL)
    settings = load_settings(env=in_file(tmp_path, block))
    assert settings.fallbacks == {"gpt-5-mini": ("hf:org/repo:small.gguf",)}
    assert settings.instance("front").roles == ("Planner", "Critic")


def test_what_the_page_shows_as_a_file_loads(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    settings = load_settings(env=in_file(tmp_path, "\n".join(blocks)))
    assert settings.instance("inst0").slots == 16
    assert settings.budget("tenant", "acme") == BudgetSpec(
        tokens_per_month=40_000_000, tokens_per_day=2_000_000
    )
    assert settings.budget("agent", "anyone") == BudgetSpec(tokens=50_000)
