// SPDX-License-Identifier: MIT
// What the stories are made of. Each plot keeps to its people and things from the first sentence to
// the last; a row of a plot holds what belongs together (a fear and its cure).
#include "stories_plots.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))
#define WORDS(list) \
  { list, COUNT(list) }

static const char *const girls[] = {"Lily", "Mia",  "Anna", "Sara", "Rose", "Nora",
                                    "Ella", "Lucy", "Amy",  "Zoe",  "Ruby", "Jane"};
static const char *const boys[] = {"Tom", "Ben", "Max",  "Sam",  "Leo",  "Jack",
                                   "Tim", "Dan", "Finn", "Paul", "Nick", "Oscar"};
static const char *const animals[] = {"rabbit", "bear", "fox", "mouse", "duck", "cat"};
static const char *const traits[] = {"little", "kind", "happy", "brave", "small", "young"};
static const char *const looks[] = {"red", "blue", "green", "yellow", "pink", "white"};
static const char *const toys[] = {"ball", "doll",  "kite",     "toy car", "teddy bear",
                                   "drum", "truck", "toy boat", "hat",     "book"};
static const char *const places[] = {"in the park",   "in the garden",   "by the river",
                                     "in the forest", "near the school", "on the farm"};
static const char *const foods[] = {"an apple",   "some bread", "a cookie",
                                    "a sandwich", "some cake",  "a banana"};
static const char *const weathers[] = {"sunny", "warm", "bright", "nice", "cold"};

const story_words story_lists[STORY_LISTS] = {
    [STORY_GIRLS] = WORDS(girls),       [STORY_BOYS] = WORDS(boys),
    [STORY_ANIMALS] = WORDS(animals),   [STORY_TRAITS] = WORDS(traits),
    [STORY_LOOKS] = WORDS(looks),       [STORY_TOYS] = WORDS(toys),
    [STORY_PLACES] = WORDS(places),     [STORY_FOODS] = WORDS(foods),
    [STORY_WEATHERS] = WORDS(weathers),
};

const char *const story_opening =
    "{Once upon a time, there|Once upon a time, there|Once there|There} was a $trait $kind named "
    "$hero. ";

// a, b: places searched in vain; c: where it was; d: how it came there.
static const char *const lost_rows[][STORY_FIELDS] = {
    {"under the bed", "behind the door", "in a box by the window",
     "I put it there to keep it safe"},
    {"under the table", "on the shelf", "under a soft blanket", "I slept there last night"},
    {"behind the tree", "in the tall grass", "under a bush", "The wind blew it there"},
    {"near the pond", "behind a big rock", "between the flowers", "I left it there yesterday"},
};
static const char lost_text[] =
    "$He had a $look $toy. $He {loved it very much|played with it every day|took it "
    "everywhere}.\nOne $weather day, $hero could not find the $toy. $He looked $a. It was not "
    "there. {$He looked $b. It was not there.|Then $he looked $b, but it was not there.} $hero "
    "{was very sad|was sad and began to cry}.\n$His {friend $pal|friend $pal|good friend $pal} "
    "{saw $him|came to visit} and asked, \"{What is wrong, $hero?|Why are you sad?}\" \"I lost my "
    "$toy,\" said $hero. \"{Do not worry|Do not cry}. {I will help you find it|We can look "
    "together},\" said $pal.\nThey looked for a long time. Then $pal saw something $look $c. It "
    "was "
    "the $toy! \"{Now I remember|Oh}! $d,\" said $hero. {$He was so happy that $he hugged "
    "$pal.|$He hugged $pal and said, \"Thank you!\"}\nAfter that day, $hero always {took good care "
    "of $his things|put $his things in the right place}.";

// a: the thing; b: where it is stuck; c: what $hero tries; d: who comes; e: how that one helps.
static const char *const stuck_rows[][STORY_FIELDS] = {
    {"kite", "in a tall tree", "jumped, but the tree was too tall", "a bird",
     "flew up and pulled the kite down"},
    {"ball", "on the roof", "jumped, but the roof was too high", "a tall man",
     "took a long stick and pushed the ball down"},
    {"boat", "in the middle of the pond", "used a stick, but it was too short", "a duck",
     "swam to the boat and pushed it back"},
    {"ball", "in a deep hole", "put a hand in, but the hole was too deep", "a dog",
     "went into the hole and came back with the ball"},
    {"hat", "in a tall tree", "shook the tree, but the hat did not fall", "a cat",
     "climbed up and dropped the hat"},
};
static const char stuck_text[] =
    "$He had a {new|big|small} $look $a.\nOne $weather day, $hero {went out to play|was playing} "
    "with the $a $place. {Suddenly|Then}, a strong wind came and took it away. The $a was stuck "
    "$b. "
    "\"Oh no!\" said $hero. \"{How can I get it back?|My $a is stuck!}\" $He $c. $hero felt "
    "{sad|very sad}.\nThen $d came by. \"{Can I help you?|Do you need help?}\" \"Yes, please,\" "
    "said "
    "$hero. \"My $a is stuck $b.\" {\"That is easy,\" said the new friend.|\"I can help you,\" "
    "said "
    "the new friend.} The new friend $e. $hero {was so happy|jumped with joy}. \"Thank you for "
    "your help!\" $he said.\n{$hero gave the new friend $food. Then they played together all "
    "day.|They played together until the sun went down.} $hero learned that it is good to {ask for "
    "help|have friends}.";

// a: the thing; b: how it breaks; c: what mends it; d: how it is mended.
static const char *const broken_rows[][STORY_FIELDS] = {
    {"cup", "fell off the table and broke", "some glue", "put the two parts together"},
    {"toy train", "hit the wall and lost a wheel", "a small box of tools", "put the wheel back on"},
    {"doll", "fell down and lost an arm", "a needle", "put the arm back on"},
    {"book", "fell into the water and got wet", "a towel", "made every page dry again"},
    {"lamp", "fell on the floor and went dark", "a new light", "put the new light in"},
};
static const char broken_text[] =
    "$He lived with $his $elder in a {small|little|big} house. $His $elder had a {pretty|very "
    "pretty} $look $a.\nOne day, $hero {was running in the house|wanted to play with it}. The $a "
    "$b. "
    "{\"Oh no!\" said $hero.|$hero was very scared.} $He wanted to hide the $a. But {$he knew that "
    "it was wrong to hide it|hiding it did not feel right}.\n$hero went to $his $elder and said, "
    "\"I am sorry. The $a $b.\" $His $elder was not angry. \"Thank you for telling me the truth,\" "
    "$ehe said. \"{We can fix it together|Let us fix it}.\" $Ehe got $c. Together they $d. {Soon "
    "the "
    "$a was as good as new.|The $a looked as good as new.}\n$hero {hugged $his $elder|smiled and "
    "felt much better}. $He learned that {it is always best to tell the truth|telling the truth "
    "makes things better}.";

// a: who settles it.
static const char *const share_rows[][STORY_FIELDS] = {
    {"$hero's $elder"},
    {"$pal's grandma"},
    {"the teacher"},
};
static const char share_text[] =
    "$He had a friend named $pal. They {liked to play|played} together $place every day.\nOne "
    "$weather day, $hero {found|brought} a $look $toy. \"{I want to play with it!|Can I play with "
    "it?}\" said $pal. \"No, it is mine!\" said $hero. $pal {pulled the $toy and $hero pulled it "
    "back|began to cry}. They were both {angry|sad}.\n{Then $a|$A} came and "
    "said, \"{You are friends. Friends share their things.|A $toy is more fun when you share "
    "it.}\" "
    "$hero {thought about it|looked at $pal}. \"I am sorry, $pal,\" $he said. \"{You can play with "
    "it first|Let us take turns}.\" $pal {smiled|was happy again}. \"Thank you, $hero. {You can "
    "have some of my food|I am sorry too},\" $phe said.\n{First $pal played with the $toy. Then it "
    "was $hero's turn.|They played with the $look $toy together.} They had {so much|a lot of} fun. "
    "$hero learned that {sharing makes everyone happy|it is good to share}.";

// a: the fear; b: when it comes; c: what the hero does; d: what the elder does; e: what it really
// is.
static const char *const fear_rows[][STORY_FIELDS] = {
    {"the dark", "it was time to sleep and the light went out", "hid under the blanket",
     "opened the window", "the moon and the stars. The dark was not bad"},
    {"the rain", "it began to rain and there was a loud noise", "hid under the bed",
     "sat down by the window", "the rain falling on the flowers. The flowers were happy"},
    {"the big dog", "the big dog came and made a loud noise", "hid behind a tree",
     "gave the dog a bone", "a friendly dog. It only wanted to play"},
    {"the water", "everyone went to swim in the river", "stayed on the grass",
     "stepped into the water", "little fish. The water was warm and not deep"},
};
static const char fear_text[] =
    "$hero was afraid of $a.\nOne {day|time}, $b. $hero {was so scared that $he|was very scared. "
    "$He} $c. \"{Please help me|I am scared}!\" $he said.\n$His $elder {heard $him|came} and held "
    "$his hand. \"{You are safe with me|Do not be afraid},\" $ehe said. \"Come and look with me.\" "
    "$Ehe $d. {$hero took a deep breath and looked.|Slowly, $hero looked.} $He saw $e. \"Oh!\" "
    "said "
    "$hero. \"{It is not scary at all|I like it now}!\" $His $elder {smiled|laughed} and said, "
    "\"You "
    "are very brave.\"\n{After that day, $hero was not afraid of $a.|From that day on, $hero was "
    "not "
    "afraid of $a anymore.} $He learned that {being brave means trying even when you are "
    "scared|things are not so scary when someone holds your hand}.";

// a: the animal; b: its trouble; c: what helps; d: how; e: where the hero found it.
static const char *const animal_rows[][STORY_FIELDS] = {
    {"bird", "had fallen from its nest", "a soft box", "put the bird back in its nest",
     "under a tree"},
    {"puppy", "was hungry and cold", "some milk and a blanket", "made the puppy warm",
     "near the road"},
    {"frog", "could not find the pond", "a bowl of water", "took the frog to the pond",
     "in the grass"},
    {"kitten", "had lost its mother", "some milk", "found its mother in the barn", "behind a rock"},
    {"turtle", "was on its back", "a strong stick", "turned the turtle over", "on the path"},
};
static const char animal_text[] =
    "$He {loved|liked} all animals.\nOne $weather day, $hero was walking $place. $He heard a small "
    "sound. {$He looked around and saw|There was} a little $a $e. The $a $b. \"Poor little $a!\" "
    "said "
    "$hero. \"I want to help you.\"\n$hero ran to $his friend $pal. \"{Please come with me|I need "
    "your "
    "help}. There is a little $a and it {needs help|is very sad},\" $he said. $pal {brought|came "
    "with} "
    "$c. {Together they|They worked together and} $d. The $a {was happy again|looked at them and "
    "was "
    "happy}.\n\"{You are so kind|You have a good heart},\" said $pal. The next day, the $a came to "
    "visit $hero. {It stayed all day and they played.|They became good friends.} $hero learned "
    "that "
    "{even small friends need help|being kind makes new friends}.";

// a: what is made; b: what is missing; c: who has it; d: how it is made.
static const char *const bake_rows[][STORY_FIELDS] = {
    {"a cake", "sugar", "$his friend $pal", "mixed everything in a big bowl"},
    {"a pie", "apples", "the old man next door", "cut the apples very small"},
    {"cookies", "eggs", "the woman on the farm", "made the cookies round like the moon"},
    {"soup", "carrots", "the rabbit in the garden", "put the carrots in a big pot"},
    {"bread", "milk", "the woman on the farm", "waited for the bread to grow"},
};
static const char bake_text[] =
    "$He {loved|liked} to cook with $his $elder.\nOne $weather day, $hero wanted to make $a for "
    "{$his $elder's birthday|a party}. $He looked in the kitchen, but they had no more $b. "
    "\"{Oh no!|What can we do?}\" said $hero. \"{I cannot make $a without $b|We need $b to make "
    "$a}.\" $His $elder said, \"{You can ask|Let us ask} $c.\"\nSo $hero went to see $c. \"Hello, "
    "may I "
    "have some $b, please?\" $he asked. \"{Yes, of course|Yes, you may}! Here you are,\" was the "
    "answer. "
    "$hero said, \"Thank you!\" and ran home. $He and $his $elder $d. {Soon the house smelled very "
    "good.|It smelled so good.}\nWhen it was ready, $hero {took some back to say thank you|shared "
    "it "
    "with everyone}. They all ate and {were happy|laughed}. $hero learned that {it is nice to "
    "share|asking with a kind word helps}.";

// a: the plan; b: what the weather does; c: what they do instead; d: the end of the weather.
static const char *const weather_rows[][STORY_FIELDS] = {
    {"fly a kite", "it started to rain", "made a tent with a blanket", "a rainbow came out"},
    {"swim in the river", "it was too cold", "made hot soup in the kitchen",
     "the sun was warm again"},
    {"ride a bike", "there was too much snow", "made a big man out of snow", "the snow was gone"},
    {"have a picnic", "the wind was too strong", "ate on the floor of the house",
     "the wind went away"},
};
static const char weather_text[] =
    "One day, $hero wanted to $a with $his friend $pal. $He {was very excited|waited all week "
    "for it}.\nBut when $he {woke up|looked out of the window}, $b. $hero was {sad|angry}. \"{It "
    "is "
    "not fair|Now we cannot play}!\" $he said. \"I wanted to $a.\"\n$pal had an idea. \"{We can "
    "still "
    "have fun|Do not be sad}. {Come with me|Let us try something new},\" said $pal. So they $c. "
    "They "
    "{told stories and sang songs|laughed and told stories}. $hero {forgot that $he was sad|was "
    "not "
    "sad anymore}. It was so much fun!\nThe next day, $d. {\"Look!\" said $pal. \"Now we can go "
    "out!\"|\"Look outside!\" said $hero.} They went out to $a at last. $hero learned that {a bad "
    "day "
    "can become a good day|you can have fun with a friend every day}.";

// a: the skill; b: what goes wrong; c: the advice; d: success.
static const char *const learn_rows[][STORY_FIELDS] = {
    {"ride a bike", "fell on the ground", "Look ahead and do not stop",
     "went all the way down the road"},
    {"swim", "swallowed some water", "Kick your legs and breathe slowly",
     "swam all the way to the other side"},
    {"sing a song", "forgot the words", "Start slowly and listen to the music",
     "sang the song from start to end"},
    {"climb the tree", "slipped and fell down", "Hold on with both hands",
     "climbed all the way to the top"},
    {"draw a horse", "made it look like a dog", "Start with the head and then the legs",
     "made a picture of a fine horse"},
};
static const char learn_text[] =
    "$hero wanted to learn how to $a. $His friend $pal {could do it very well|was very good at "
    "it}.\nOne $weather day, $hero tried to $a. $He $b. $He tried again, but {it was too hard|$he "
    "$b "
    "again}. \"{I will never learn it|I cannot do it},\" said $hero. $He {sat down and "
    "cried|wanted to "
    "stop}.\n$pal {sat next to $him|came to $him} and said, \"{It was hard for me too|Do not give "
    "up}. "
    "{I can show you|Let me help you}. $c.\" $hero tried again and again. {Every day it was a "
    "little "
    "better.|It was better every time.} Then, one day, $he $d! \"{I did it|Look at me}!\" $hero "
    "said. "
    "$pal {clapped and smiled|was very proud}.\n$hero learned that {you must never give up|if you "
    "try "
    "hard, you can do it}.";

// a: the food; b: where it is.
static const char *const greedy_rows[][STORY_FIELDS] = {
    {"cookies", "on the table"},
    {"cakes", "in the kitchen"},
    {"pancakes", "on a plate"},
    {"candies", "in the jar"},
};
static const char greedy_text[] =
    "$He {loved|liked} to eat $a.\nOne day, $hero saw many $a $b. $His $elder said, \"{Please "
    "wait. "
    "The $a are for the party|Do not eat them now. They are for everyone}.\" But $hero {was very "
    "hungry|could not wait}. When $his $elder {went away|was not looking}, $he ate one. It was so "
    "good! Then $he ate {another one and another one|two more}. Soon all the $a were "
    "gone.\n$hero's "
    "belly began to hurt. $His $elder came back and asked, \"{Where are the $a?|What happened to "
    "the "
    "$a?}\" $hero {looked at the floor|felt very bad}. \"I ate them all. I am sorry,\" $he said. "
    "$His "
    "$elder {was not happy, but $ehe|gave $him some water and} said, \"{Thank you for telling me "
    "the "
    "truth|Next time, please wait}. {Now let us make more|You can help me make more}.\"\n$hero "
    "helped "
    "$his $elder make new $a. {This time $he waited for the party.|Then $he gave the first one to "
    "$pal.} $hero learned {to wait and to share|that it is not good to eat too much}.";

// a: who shows the way; b: what that one says; c: what to call it.
static const char *const way_rows[][STORY_FIELDS] = {
    {"a small bird", "I can see your house from the sky", "bird"},
    {"an old owl", "I know every tree in the forest", "owl"},
    {"a gray rabbit", "I know a short way to your house", "rabbit"},
    {"a friendly deer", "I can take you home on my back", "deer"},
};
static const char way_text[] =
    "$He lived in a {small|little} house near the forest. $His $elder said, \"Do not go too far "
    "away.\"\nOne $weather day, $hero saw a $look {butterfly|flower} in the forest. It was so "
    "pretty "
    "that $he {walked|ran} on and on. {Soon $he did not know the way home.|When $he looked around, "
    "$he "
    "was lost.} The sky was getting dark. $hero {sat down and cried|was scared}.\nThen $a came to "
    "$him. \"{Why are you crying?|Are you lost?}\" asked the $c. \"{I want to go home|I cannot "
    "find my "
    "house},\" said $hero. \"{Do not worry|Do not be afraid}. $b,\" said the $c. \"Come with me.\" "
    "They went {past the tall trees|over the bridge|down the hill}. At last $hero "
    "saw {the light of $his house|$his house}.\n$His $elder {ran out and hugged $him|was so happy "
    "to "
    "see $him}. \"Thank you, $c!\" said $hero. {$He gave the $c $food.|$He waved and the $c went "
    "away.} After that, $hero {never went too far away|always listened to $his $elder}.";

// a: what the newcomer does alone; b: what they do together.
static const char *const shy_rows[][STORY_FIELDS] = {
    {"sitting alone under a tree", "played hide and seek"},
    {"looking at the ground", "ran and jumped"},
    {"reading a book alone", "read the book together"},
    {"sitting alone on the swing", "played on the swing"},
};
static const char shy_text[] =
    "$He {liked to play|played} $place every day.\nOne $weather day, $hero saw someone new. {It "
    "was a "
    "child|It was someone} named $pal. $pal was $a. $Phe {looked sad|looked lonely}. The others "
    "were "
    "playing, but {nobody talked to $pal|nobody asked $pal to play}.\n$hero {walked over|went to "
    "$pal} and said, \"Hello, my name is $hero. {Do you want to play with me?|What is your "
    "name?}\" "
    "\"{I am $pal|My name is $pal},\" said $pal in a {small|quiet} voice. \"I am new here and {I "
    "do "
    "not have any friends|I do not know anyone}.\" \"{I can be your friend|Now you have a "
    "friend},\" "
    "said $hero. $He gave $pal $food. $pal {smiled|began to smile}.\nThen they $b. They {laughed a "
    "lot|had so much fun}. {When it was time to go home, $pal said, \"Thank you for being my "
    "friend.\"|\"Will you play with me tomorrow?\" asked $pal. \"Yes!\" said $hero.} $hero learned "
    "that "
    "{a kind word can make a new friend|it is good to be kind to everyone}.";

#define PLOT(name) \
  { name##_rows, COUNT(name##_rows), name##_text }
const story_plot story_plots[] = {
    PLOT(lost), PLOT(stuck),   PLOT(broken), PLOT(share),  PLOT(fear), PLOT(animal),
    PLOT(bake), PLOT(weather), PLOT(learn),  PLOT(greedy), PLOT(way),  PLOT(shy),
};
const size_t story_plot_count = COUNT(story_plots);
