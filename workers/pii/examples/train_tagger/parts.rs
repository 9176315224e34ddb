//! Words that names, streets and sentences are put together from.

pub const ADJECTIVES: &str = "good bad big small red blue open closed ready late early cheap strange simple broken free safe empty full hard easy old new quick slow quiet loud clear final clean warm cold useful";

pub const VERBS: &str = "use open close return sell buy keep move clean check read write pay sign accept reject deliver improve destroy repair";

pub const NOUNS: &str = "order ticket invoice account report table house car phone window letter contract policy garden paper machine project meeting question answer account system device service product key lamp wheel bridge river market engine mirror photo bottle ladder recipe schedule printer garment harvest signal";

pub const HONORIFICS: &str = "Mr Mrs Ms Miss Dr Prof Mr. Mrs. Ms. Dr. Prof. Mr. Mrs. Ms. Dr. Prof. Sir Madam Professor Doctor Rev. Fr. Herr Frau Señor Señora Mme M. Capt. Lt. Sgt. Judge Hon. Mx.";

pub const SUFFIXES: &str = "Inc Inc. Ltd Ltd. LLC Corp Corp. Corporation Company Co. Group Holdings GmbH AG S.A. PLC plc BV AB Oy A/S Partners Associates Industries International Limited Trust Foundation Solutions Systems Technologies Consulting Services Bank Insurance Energy Foods Media Pharma Airlines Motors Labs Studio Studios Capital Logistics";

pub const HEADS: &str = "Blue Green North Red First United General National Global Star Sun River Stone Gold Silver Royal Central Pacific Atlantic Alpine Summit Liberty Pioneer Quantum Digital Prime Union Metro Coastal Eagle Falcon Oak Cedar Harbor Bright Smart Clear Open Urban";

pub const FIELDS: &str = "Data Software Travel Health Water Media Finance Steel Farms Books Records Toys Pharmacy Bakery Motors Design Security Energy Film Fashion Games Education Analytics Robotics Networks Shipping";

pub const STARTS: &str = "ac al ar ax bel bi bra ca ce cla cor da del di dy e el en ev fa fi for ga gen gra ha hel in jo ka ki la len li lo lu ma me mo na ne no o or pa pe pro qua ra re ri sa se sky so sta syn ta te tri u va ve vi vo wa xe yo za ze zo";

pub const MIDDLES: &str =
    "ba ca cen da den di do fa fi ga go la li lo ma mi na ni no pa pe ra ri ro sa si ta te ti to va vi xa za";

pub const ENDS: &str = "bit cor da dex do dyne fy gen go io ix jet la ler lo ly lytics max med na net nix o on ora pay ra ri rix ron sta sys tec tech tek tek ton tra tus va via vio x za zon";

pub const STREET_TYPES: &str = "Street Street St St. Road Road Rd Rd. Avenue Avenue Ave Ave. Lane Ln Drive Dr Boulevard Blvd Court Ct Place Pl Square Terrace Way Close Crescent Parkway Highway Circle Trail Alley Hill Row Gardens Grove Mews Quay Walk Loop Plaza Path Ridge Squares Streets Roads Heights";

pub const BEFORE_STREETS: &str = "Rue|rue|Rue de|rue du|rue de la|Avenue de|Avenue|Boulevard|Place de|Via|via|Viale|Piazza|Corso|Calle|C/|Avenida|Av.|Paseo|Plaza|Carrer|Rua|Rua da|Travessa|Praça|ul.|ulica|al.|Aleja|Straße der|Am|An der|Strada|Bulevardul|Jalan|Jl.|Ulica|Trg|Bulevar|улица|ул.|Οδός|Via del|Chemin du|Ruelle|Strandgade|Impasse|Largo|Vicolo|Ronda|Camino de|Strada|Cesta|Nám.|Alameda|Rruga";

pub const JOINED_STREETS: &str = "straße strasse str. gasse weg platz allee ring damm gatan gata vägen väg vej gade vegen veien gate stræde alle katu tie kuja polku tori straat laan plein kade dijk steeg gracht stígur braut vangur utca ufer steig brücke bundesstrasse backen stigen gränd vænget parken bakken marken";

pub const AFTER_STREETS: &str = "utca u. út útja tér körút köz sor Caddesi Sokak Cad. Sok. tn mnt iela gatvė pr. prospekt ulitsa náměstí sokağı tee dori bulvár sétány Marg Nagar Chowk Jie Lu";

pub const STATES: &str = "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY ON QC BC NSW VIC";
