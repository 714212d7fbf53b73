"""What people take for a password when nobody stops them: words, names and rows of keys, without any site's leaked list."""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


#: Of this product and its trade.
PRODUCT = _words("""
timeball time clock clocks ntpd chrony pool server servers stratum leap second seconds appliance raspberry raspberrypi
raspbian debian linux ubuntu harbour tower harbor network router switch gateway firewall dnsmasq pihole homelab
""")

WORDS = _words("""
password passwort passwd passw0rd pass contrasena motdepasse parola wachtwoord haslo senha lozinka salasana geheim secret
secreto secrets hidden private admin administrator administration root user users guest test tests testing tester demo temp temporary
default change changeme changeit access letmein welcome willkommen bienvenue hello hallo hola login logon enter please
master manager support system service backup security secure safe unlock open computer laptop internet website windows
microsoft google apple samsung nokia android facebook twitter youtube yahoo hotmail gmail email amazon netflix paypal sony
office company business work student school teacher college university library monday tuesday wednesday thursday friday
saturday sunday january february march april june july august september october november december spring summer autumn
winter sommer herbst fruehling holiday christmas easter birthday weekend morning evening night today tomorrow
love lover lovely iloveyou iloveu loveyou loveme ihateyou fuckyou fuckoff asshole bitch sexy sexsex pussy whatever nothing
trustno starwars superman batman spiderman pokemon pikachu naruto minecraft fortnite matrix startrek gandalf hobbit
frodo merlin wizard magic dragon dragons phoenix unicorn monster vampire zombie ninja samurai warrior hunter killer shadow
ghost angel angels devil demon heaven jesus christ jesuschrist blessed faith church prayer amen god godisgood
football soccer baseball basketball hockey tennis rugby cricket golf golfer player arsenal chelsea liverpool barcelona
realmadrid juventus bayern dortmund manchester united rangers celtic yankees lakers cowboys steelers eagles packers raiders
ferrari porsche mercedes toyota honda yamaha suzuki harley corvette mustang camaro bmw audi volkswagen nissan mazda
monkey tiger lion panther eagle falcon hawk raven wolf wolves bear bears horse horses pony puppy doggy kitty kitten cats dogs
dolphin shark fishing turtle rabbit bunny butterfly spider scorpion snake cobra elephant panda chicken turkey lizard
flower flowers rose roses sunflower sunshine rainbow star stars moon moonlight ocean water river mountain forest garden
banana orange apple apples cherry lemon peach strawberry chocolate cookie cookies candy sugar honey cheese butter pepper
ginger coffee pizza burger bacon beer whiskey vodka wine tequila marlboro weed smoke
purple yellow green blue black white silver golden gold diamond crystal ruby emerald red orange pink
princess prince queen king kings knight soldier captain pirate doctor nurse police lawyer pilot sailor cowboy
mother father mama papa mommy daddy sister brother family baby babygirl babyboy girl girls boys friend friends forever
freedom peace power money dollar dollars million rich lucky winner champion hero legend rocket thunder lightning storm
hurricane tornado fire flame burning winter snow snowball freeze hot cool cold
music guitar piano metallica nirvana beatles elvis eminem slipknot rockstar rock dance dancer dancing singer
london paris berlin madrid rome moscow america american england france germany deutschland italy spain russia canada
australia mexico brazil india china japan korea texas florida california newyork chicago boston dallas austin
one two three four five six seven eight nine ten hundred thousand first second third last number
abcd alpha beta gamma delta omega sigma zero cyber hacker hack h4cker coder code program python java oracle mysql cisco
internet qazwsx asdf zxcv qwer wasd asdfghjkl zxcvbnm poiuyt lkjhg mnbvc fghj
big a1b2c3 a1b2c3d4 1a2b3c4d a1s2d3 a1s2d3f4 q1w2e3 q1w2e3r4 1q2w3e4r airborne airplane icecream swordfish squirrel spectrum sailboat
terminator gladiator meatloaf snuggles translator sunnyday roadrunner tinkerbell teddybear hardcore cocacola bullshit dickhead shithead butthead
darkness darkside brooklyn platinum nintendo playstation pakistan guinness lasvegas michigan colorado scotland thailand paradise einstein
softball volleyball patriots warcraft wolverine valentine pearljam predator peekaboo cardinal electric hercules blizzard zeppelin engineer
cadillac assassin bigfoot rainbows skywalker kingdom champion mountain universe treasure together remember midnight magnolia lighthouse
little small large fat crazy stupid happy smile smiley funny sweet sweety sweetie sweetheart cutie beautiful pretty
handsome precious darling dear sugar bubbles buster boomer biteme blahblah bigdick bigboy badboy badgirl goodluck
jackass hammer scooter cooper buddy tigger snoopy mickey minnie donald garfield winnie pooh bambi simba nemo shrek barbie
hellokitty spongebob scooby simpson homer bart lisa marge futurama southpark cartman transformer godzilla
trinity genesis destiny infinity eternal eclipse galaxy mercury venus mars jupiter saturn neptune apollo zeus athena
compaq dell lenovo asus intel gateway packard toshiba fender gibson marine marines army navy airforce military
""")

NAMES = _words("""
michael jennifer jordan andrew matthew joshua daniel jessica michelle ashley amanda nicole robert thomas charlie george
william james john david richard joseph charles christopher chris anthony mark donald steven paul kenneth kevin brian
edward ronald timothy jason jeffrey ryan jacob gary nicholas nick eric jonathan stephen larry justin scott brandon benjamin
samuel gregory frank alexander alex raymond patrick jack dennis jerry tyler aaron jose adam henry nathan douglas zachary
peter kyle walter ethan jeremy harold keith christian roger noah gerald carl terry sean austin arthur lawrence jesse dylan
bryan joe billy bruce albert willie gabriel logan alan juan wayne roy ralph randy eugene vincent russell louis bobby philip
johnny mary patricia linda elizabeth barbara susan sarah karen nancy lisa betty margaret sandra kimberly emily donna carol
dorothy melissa deborah stephanie rebecca sharon laura cynthia kathleen amy angela shirley anna brenda pamela emma helen
samantha katherine christine debra rachel carolyn janet catherine maria heather diane ruth julie olivia joyce virginia
victoria kelly lauren christina joan evelyn judith megan andrea cheryl hannah jacqueline martha gloria teresa ann sara
madison frances kathryn janice jean abigail alice julia judy sophia grace denise amber doris marilyn danielle beverly
isabella theresa diana natalie brittany charlotte marie kayla alexis lori peterson smith johnson williams brown jones
garcia miller davis rodriguez martinez hernandez lopez gonzalez wilson anderson taylor moore jackson martin lee perez
thompson white harris sanchez clark ramirez lewis robinson walker young allen king wright torres nguyen hill flores mueller
schmidt schneider fischer weber meyer wagner becker hoffmann anton bernd claudia dieter franz gerhard hans heike
helmut ingrid juergen karin klaus manfred markus martina monika petra sabine stefan susanne sven thorsten ulrich ursula
werner wolfgang andreas jens lukas leon felix julian pierre jacques francois nicolas camille mathieu guillaume julien
antoine carlos miguel alejandro fernando francisco antonio manuel pablo sergio diego ricardo eduardo giuseppe giovanni
francesco marco luca paolo mario luigi stefano alessandro ivan dmitri sergey natasha olga vladimir igor mohammed ahmed ali
omar fatima aisha hassan ibrahim priya rahul amit sanjay deepak krishna ganesh wei ming yuki hiroshi kenji tanaka kim park
maggie molly lucy daisy bailey sophie chloe zoe sadie bella max sam ben tom tim jim bob dan don ron ken ray
""")

#: What people love, fear, eat, drive, watch and cheer: each of these with a 1 behind it is in everybody's list.
LOVED = _words("""
accordion achilles adidas aerosmith ajax alejandra alligator amsterdam anakin antelope aphrodite apricot aragorn architect
argentina armadillo artemis artichoke asparagus astronaut athens athlete atlanta austria avalanche avocado bacardi badger
badminton baguette bangkok barbarian barbecue bartender battlefield beaver beethoven beetle beijing belgium benfica besiktas
beyonce bicycle billiards bioshock blackberry blackcurrant blackhawks blacksmith blowjob blueberry bobcat bocajuniors
bodyguard bond007 boxing boyfriend brisbane britney broccoli broncos brussels budapest budweiser buffalo buffy bugatti
bugsbunny bulbasaur bulgaria bulls bumblebee burberry burrito butcher butterscotch callofduty camel cappuccino caramel
cardinals carpenter cartoon caterpillar cauliflower celtics ceramic champagne chanel charizard cheerleader cheeseburger
cheesecake cheetah chemistry chestnut chevrolet chevy chewbacca chihuahua chile chilli chipmunk chrysler cinnamon citroen
clarinet cleveland climbing coconut coldplay colgate cologne colombia columbia contraseña converse copenhagen corinthians
corolla corona cougar counterstrike coyote cranberry croatia crocodile croissant cucumber cupcake cyclist daenerys daffyduck
dalmatian darthvader deftones denmark dentist detective detroit dexter diablo doberman dodge dodgers dolphins donkey doughnut
dragonfly dresden drummer dublin ducati dumbledore economics ecuador edinburgh electrician electronics enterprise ericsson
espresso estonia evanescence everton excalibur fallout farmer fencing fenerbahce ferret feyenoord fiat finland firefighter
firefox fireman fisherman flamengo flamingo florence flyers foofighters frankfurt galadriel galatasaray gamecube gangster
gardener gazelle gecko geography gingerbread giraffe girlfriend glasgow goalkeeper goldfinger gollum goodyear gorilla
gorillaz grandfather grandma grandmother grandpa grapefruit grasshopper greece greenday greyhound gryffindor gucci guitarist
gumdrop gunsnroses gymnast gymnastics hades halflife hamburg hamburger hamster handball harmonica hazelnut hedgehog heineken
heisenberg hendrix hermione hertha hippopotamus history hogwarts horseback houston hulkamania hummingbird hungary hyena
hyundai iceland iggypop iguana infantry instagram ireland ironmaiden istanbul jackdaniels jaguar jakarta jamaica jayz jeep
jellybean jellyfish jerusalem juggler kangaroo karate kawasaki kenya ketchup khaleesi kickboxing klingon knicks knitting
kurtcobain labrador ladybug ladygaga lamborghini lancia lannister lasagna latvia legolas leia leipzig lemonade leopard lexus
librarian lifeguard linkedin linkinpark lisbon lobster logitech lollipop losangeles macaroni macbook madonna magician
malaysia mandarin manila mapleleafs marathon margarita marley marshmallow martini maserati mathematics maximus mcdonalds
mechanic medusa megadeth megaman melbourne memphis miami milan milkshake millennium minister mitsubishi mockingbird
moneypenny mongoose montreal mordor morocco mosquito motocross motorhead mozart mozzarella muenchen mulder munich mushroom
musician mustard napoli navigator ncc1701 nederland netherlands netscape newcastle nickelback nightingale nike noodles norway
nutella nvidia oakland oatmeal obiwan octopus odysseus officer offspring omelette orchestra orlando oslo ostrich overwatch
pacman painter palmeiras pancake pancakes pantera papaya paramedic paratrooper parmesan parrot peacock peanut pelican penguin
penguins penthouse peppermint pepperoni pepsi peru peugeot philadelphia philippines philosophy photographer photography
physics picard pineapple pinkfloyd pinterest piranha pistachio pittsburgh platypus plumber poland policeman polska pontiac
popcorn porcupine porridge portland porto portugal poseidon prada prague president pretzel professor programmer pumpkin
raccoon racing radiohead rammstein ramones redskins redsox referee reindeer renault rhinoceros rihanna risotto riverplate
roblox rolex rollerblade rollingstones romania rottweiler running sabbath sacramento salamander sandiego sandwich santana
santiago santos sauerkraut sausage saxophone schalke scientist scully sculptor seahawks seahorse seattle secretary sepultura
serbia sergeant shakira shanghai sherlock singapore skateboard skating skiing skydiver skype skyrim slayer slovakia slovenia
slytherin snapchat sniper snowboard sonic spaghetti spartacus spock sporting spotify spurs starbucks starcraft stingray
stockholm stones stormtrooper stuttgart subaru submarine supergirl superstar surfing sweden swimmer swimming switzerland
sydney sylvester tangerine tarantula telegram tesla tetris tiktok tiramisu tokyo tomato topgun toronto tottenham trainer
triumph trombone trumpet tupac ukraine undertaker valentina vancouver vanilla venezuela venice versace vienna vietnam viking
violinist vivaldi vodafone voldemort volvo voyager vulcan vulture waffle waitress walmart walrus warriors warsaw watermelon
watson weasel werder whatsapp wikipedia winterfell woodpecker wordpress wrestling xbox yoga zebra zelda zimbabwe zucchini
zurich
""")

#: Keyboards as rows, upper and lower neighbours shifted as they stand: German, French, English layouts.
KEYBOARDS = (
    ("1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./"),
    ("1234567890ß", "qwertzuiopü+", "asdfghjklöä#", "yxcvbnm,.-"),
    ("&é\"'(-è_çà)=", "azertyuiop^$", "qsdfghjklmù*", "wxcvbn,;:!"),
    ("789", "456", "123", "0"),
)
